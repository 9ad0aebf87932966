export type FoundJson = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: string };

const FENCE = /```[a-zA-Z]*[ \t]*\r?\n([\s\S]*?)```/g;

/**
 * Finds the JSON in the text of an answer: the text itself, or its only code fence, or the only object or array within
 * prose. Where two could be meant, neither is taken: a wrong guess would pass for an answer.
 */
export function findJson(text: string): FoundJson {
  const bare = text.trim();
  if (bare === '') return { ok: false, error: 'The answer is empty.' };
  const whole = tryParse(bare);
  if (whole.ok) return whole;
  const fenced = [...bare.matchAll(FENCE)]
    .map(([, content]) => tryParse((content ?? '').trim()))
    .filter(({ ok }) => ok);
  if (fenced.length === 1 && fenced[0] !== undefined) return fenced[0];
  if (fenced.length > 1)
    return { ok: false, error: `The answer has ${fenced.length} JSON blocks; it must be one JSON value.` };
  const values = valuesWithin(bare);
  if (values.length === 1) return { ok: true, value: values[0] };
  if (values.length > 1) return { ok: false, error: `The answer has ${values.length} JSON values; it must be one.` };
  return { ok: false, error: `The answer is not valid JSON: ${whole.error}` };
}

function tryParse(text: string): FoundJson {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}

/** The outermost objects and arrays of a text that parse. */
function valuesWithin(text: string): unknown[] {
  const values: unknown[] = [];
  let start = text.search(/[{[]/);
  while (start !== -1) {
    const end = closingBracket(text, start);
    // Not searched inside: the parts of a broken or cut off value are not what the model was asked for.
    if (end === -1) return [];
    const parsed = tryParse(text.slice(start, end + 1));
    if (parsed.ok) values.push(parsed.value);
    const next = text.slice(end + 1).search(/[{[]/);
    start = next === -1 ? -1 : end + 1 + next;
  }
  return values;
}

/** Where the bracket at `start` closes, or -1. Brackets within strings do not count. */
function closingBracket(text: string, start: number): number {
  let depth = 0;
  let inString = false;
  for (let index = start; index < text.length; index++) {
    const char = text[index];
    if (inString) {
      if (char === '\\') index++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && --depth === 0) return index;
  }
  return -1;
}
