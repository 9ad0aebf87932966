/** What extraction found in a document. */
export interface Extract {
  /** Sentences by importance, the most important first; never empty. */
  readonly ranked: readonly string[];
  /** Position in the document of each sentence of `ranked`. */
  readonly positions: ReadonlyMap<string, number>;
  /** Frequent words that carry meaning, in lower case, the most frequent first. */
  readonly keywords: readonly string[];
  readonly words: number;
}

/** Ranking is quadratic in the number of chosen sentences only; these bound the work for a prompt of a megabyte. */
const MAX_CHARS = 200_000;
const MAX_RANKED = 40;
/** Prose of former centuries has sentences of 80 words; a key point is cut at a clause. */
const MAX_WORDS = 48;
const MIN_WORDS = 5;

const STOP_WORDS = new Set(
  (
    'a about above after again all also although always am among an and any are as at be because been before being ' +
    'between both but by can could did do does doing down during each either else ever every few for from further ' +
    'had has have having he her here hers him his how however i if in into is it its itself just least less let like ' +
    'made make many may me might mine more most much must my neither never no nor not now of off often on once one ' +
    'only or other our ours out over own per perhaps quite rather same shall she should since so some still such than ' +
    'that the their theirs them then there these they this those though through thus to too two under until up upon ' +
    'us very was we well were what when where whether which while who whom whose why will with within without would ' +
    'yet you your yours said says'
  ).split(' '),
);

const ABBREVIATION =
  /(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Rev|Hon|Gen|Col|Capt|No|Vol|Fig|Inc|Ltd|Co|vs|etc|e\.g|i\.e|cf|approx|U\.S|U\.K|[A-Z]))\.$/;

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu) ?? [];
}

function isMeaningful(word: string): boolean {
  return word.length > 2 && !STOP_WORDS.has(word) && !/^\d+$/.test(word);
}

/** Sentences that lean on the one before them make poor key points. */
const LEANING = /^(?:They|It|He|She|His|Her|This|These|Those|Such|But|And|However|Both|Then)\b/;

/** The sentences of a text; headings, list marks and line breaks within a paragraph are dropped. */
export function sentencesOf(text: string): string[] {
  const sentences: string[] = [];
  for (const paragraph of text.slice(0, MAX_CHARS).split(/\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)/)) {
    const body = paragraph.replace(/^\s*#+ [^\n]*\n?/gm, '').replace(/^\s*(?:[-*•]|\d+[.)])\s+/, '');
    const flat = body.replace(/\s+/g, ' ').trim();
    if (flat === '') continue;
    let open = '';
    for (const { segment } of segmenter.segment(flat)) {
      open += segment;
      if (ABBREVIATION.test(open.trimEnd())) continue;
      sentences.push(open.trim());
      open = '';
    }
    if (open.trim() !== '') sentences.push(open.trim());
  }
  return sentences;
}

/** Cuts a long sentence at its last clause that fits; the ellipsis says so. */
export function shorten(sentence: string, maxWords = MAX_WORDS): string {
  const words = sentence.split(' ');
  if (words.length <= maxWords) return sentence;
  const head = words.slice(0, maxWords).join(' ');
  const clause = Math.max(head.lastIndexOf(','), head.lastIndexOf(';'), head.lastIndexOf(':'), head.lastIndexOf(' —'));
  return `${clause > head.length / 2 ? head.slice(0, clause) : head}…`;
}

/**
 * Ranks the sentences of a document: the frequent words of the document make a sentence important, a place at its
 * beginning helps a little, and what repeats a sentence chosen before counts less.
 */
export function extract(document: string): Extract {
  const known = recent.get(document);
  if (known !== undefined) return known;
  const found = extractAnew(document);
  if (document.length <= MAX_REMEMBERED_CHARS) recent.set(document, found);
  for (const oldest of recent.keys()) {
    if (recent.size <= MAX_REMEMBERED) break;
    recent.delete(oldest);
  }
  return found;
}

/** The steps of a chain ask about the same document, and extraction is nine tenths of the work of a call. */
const recent = new Map<string, Extract>();
const MAX_REMEMBERED = 200;
const MAX_REMEMBERED_CHARS = 50_000;

function extractAnew(document: string): Extract {
  const all = sentencesOf(document);
  const counts = new Map<string, number>();
  let words = 0;
  const tokens = all.map((sentence) => {
    const found = wordsOf(sentence);
    words += found.length;
    const meaningful = new Set(found.filter(isMeaningful));
    for (const word of found.filter(isMeaningful)) counts.set(word, (counts.get(word) ?? 0) + 1);
    return { length: found.length, meaningful };
  });
  const keywords = [...counts.entries()]
    .sort(([wordA, countA], [wordB, countB]) => countB - countA || (wordA < wordB ? -1 : 1))
    .map(([word]) => word);

  const positions = new Map<string, number>();
  const candidates = all.flatMap((sentence, index) => {
    const { length, meaningful } = tokens[index]!;
    if (positions.has(shorten(sentence))) return [];
    positions.set(shorten(sentence), index);
    // Without the logarithm the few words of the title's subject would decide everything.
    let weight = 0;
    for (const word of meaningful) weight += Math.log1p(counts.get(word) ?? 0);
    const complete = length >= MIN_WORDS && /[.!?…"”')\]]$/.test(sentence) ? 1 : 0.2;
    const standing = LEANING.test(sentence) ? 0.75 : 1;
    const lead = 1 + 0.25 * Math.exp(-index / 8);
    return [
      { text: shorten(sentence), score: (weight / Math.sqrt(length + 6)) * complete * standing * lead, meaningful },
    ];
  });
  return { ranked: rank(candidates), positions, keywords: keywords.slice(0, 50), words };
}

interface Candidate {
  readonly text: string;
  readonly score: number;
  readonly meaningful: ReadonlySet<string>;
}

function rank(candidates: readonly Candidate[]): string[] {
  const left = candidates.map((candidate) => ({ ...candidate, penalty: 1 }));
  const ranked: string[] = [];
  while (left.length > 0 && ranked.length < MAX_RANKED) {
    let best = 0;
    for (let index = 1; index < left.length; index++) {
      if (left[index]!.score * left[index]!.penalty > left[best]!.score * left[best]!.penalty) best = index;
    }
    const [chosen] = left.splice(best, 1);
    ranked.push(chosen!.text);
    for (const other of left) {
      let shared = 0;
      for (const word of other.meaningful) if (chosen!.meaningful.has(word)) shared++;
      if (other.meaningful.size > 0) other.penalty *= 1 - 0.5 * (shared / other.meaningful.size);
    }
  }
  return ranked.length > 0 ? ranked : ['The request contains no text to work from.'];
}

/** The best `count` sentences in the order of the document. */
export function inDocumentOrder(source: Extract, count: number): string[] {
  return source.ranked
    .slice(0, count)
    .toSorted((left, right) => (source.positions.get(left) ?? 0) - (source.positions.get(right) ?? 0));
}
