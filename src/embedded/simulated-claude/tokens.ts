/**
 * The simulated tokenizer: an approximation of how Claude counts English, the same for input and output. A run of
 * whitespace belongs to the token after it. ASCII words of up to 7 letters are one token and longer ones one per 6
 * letters, digits one per 3, an ASCII punctuation mark one, and every other character one. English prose comes to
 * about 4.4 characters a token, JSON and code to about 3.
 */
const WORD_MAX = 7;
const WORD_PIECE = 6;
const DIGITS_MAX = 3;

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

function isLetter(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function endOfRun(text: string, start: number, inRun: (code: number) => boolean): number {
  let end = start;
  while (end < text.length && inRun(text.charCodeAt(end))) end++;
  return end;
}

/** Calls `visit` with the end offset of each token, in order, until it returns false. */
function scan(text: string, visit: (end: number) => boolean): void {
  let at = 0;
  while (at < text.length) {
    const start = endOfRun(text, at, isSpace);
    const code = text.charCodeAt(start);
    let end: number;
    if (start === text.length) {
      end = start;
    } else if (isLetter(code)) {
      const wordEnd = endOfRun(text, start, isLetter);
      for (at = start; wordEnd - start > WORD_MAX && wordEnd - at > WORD_PIECE; at += WORD_PIECE) {
        if (!visit(at + WORD_PIECE)) return;
      }
      end = wordEnd;
    } else if (isDigit(code)) {
      end = Math.min(endOfRun(text, start, isDigit), start + DIGITS_MAX);
    } else {
      // Both halves of a surrogate pair stay together, or streamed chunks would hold broken characters.
      end = start + (code >= 0xd800 && code <= 0xdbff && start + 1 < text.length ? 2 : 1);
    }
    if (!visit(end)) return;
    at = end;
  }
}

/** The number of simulated tokens in `text`. */
export function countTokens(text: string): number {
  let count = 0;
  scan(text, () => {
    count++;
    return true;
  });
  return count;
}

/** Splits `text` into its tokens; joined they give `text` again. */
export function splitTokens(text: string): string[] {
  const tokens: string[] = [];
  let start = 0;
  scan(text, (end) => {
    tokens.push(text.slice(start, end));
    start = end;
    return true;
  });
  return tokens;
}
