/** A value of each string format; constants, so that answers stay the same from run to run. */
export const FORMATS: Readonly<Record<string, string>> = {
  'date-time': '2026-01-15T09:30:00Z',
  date: '2026-01-15',
  time: '09:30:00Z',
  duration: 'PT30M',
  email: 'simulated@example.com',
  hostname: 'example.com',
  uri: 'https://example.com/simulated',
  url: 'https://example.com/simulated',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uuid: '00000000-0000-4000-8000-000000000001',
};

/** Shapes that people ask for, tried before a pattern is taken apart. */
const COMMON = [
  ...Object.values(FORMATS),
  'simulated',
  'SIMULATED',
  'Simulated',
  '1',
  '42',
  '2026',
  '1.0.0',
  '#336699',
];

const CLASSES: Readonly<Record<string, string>> = { d: '0123456789', w: 'abcdefghijklmnopqrstuvwxyz', s: ' ' };

/** Parses the subset of regular expressions that schemas use: literals, classes, groups, alternation, quantifiers. */
class PatternWriter {
  #at = 0;

  constructor(
    readonly pattern: string,
    readonly dice: () => number,
  ) {}

  write(): string {
    return this.#alternatives();
  }

  #alternatives(): string {
    const options = [this.#sequence()];
    while (this.pattern[this.#at] === '|') {
      this.#at++;
      options.push(this.#sequence());
    }
    return options[0] ?? '';
  }

  #sequence(): string {
    let written = '';
    while (this.#at < this.pattern.length && !'|)'.includes(this.pattern[this.#at]!)) {
      const start = this.#at;
      const once = this.#atom();
      const count = this.#quantifier();
      if (count === 0) continue;
      written += once;
      const after = this.#at;
      for (let more = 1; more < count; more++) {
        this.#at = start;
        written += this.#atom();
      }
      this.#at = after;
    }
    return written;
  }

  #atom(): string {
    const char = this.pattern[this.#at++]!;
    if (char === '^' || char === '$') return '';
    if (char === '.') return this.#pick(CLASSES.w!);
    if (char === '[') return this.#class();
    if (char === '(') {
      const head = /^\?(?::|<[^=!>]+>)/.exec(this.pattern.slice(this.#at));
      this.#at += head?.[0].length ?? 0;
      const inner = this.#alternatives();
      this.#at++;
      return inner;
    }
    if (char !== '\\') return char;
    const escaped = this.pattern[this.#at++] ?? '';
    if (escaped === 'b') return '';
    return CLASSES[escaped] === undefined ? escaped : this.#pick(CLASSES[escaped]);
  }

  #class(): string {
    const negated = this.pattern[this.#at] === '^';
    if (negated) this.#at++;
    let members = '';
    while (this.#at < this.pattern.length && this.pattern[this.#at] !== ']') {
      let char = this.pattern[this.#at++]!;
      if (char === '\\') char = this.pattern[this.#at++] ?? '';
      const isClass = this.pattern[this.#at - 2] === '\\' && CLASSES[char] !== undefined;
      if (isClass) {
        members += CLASSES[char];
      } else if (this.pattern[this.#at] === '-' && this.pattern[this.#at + 1] !== ']') {
        const last = this.pattern[this.#at + 1]!;
        this.#at += 2;
        for (let code = char.charCodeAt(0); code <= last.charCodeAt(0); code++) members += String.fromCharCode(code);
      } else {
        members += char;
      }
    }
    this.#at++;
    if (!negated) return this.#pick(members);
    return this.#pick([...'abcdefghijklmnopqrstuvwxyz0123456789'].filter((char) => !members.includes(char)).join(''));
  }

  #quantifier(): number {
    const found = /^(?:([*+?])|\{(\d+)(?:,\d*)?\})\??/.exec(this.pattern.slice(this.#at));
    if (found === null) return 1;
    this.#at += found[0].length;
    if (found[2] !== undefined) return Number(found[2]);
    return found[1] === '+' ? 3 : 0;
  }

  #pick(characters: string): string {
    return characters[Math.floor(this.dice() * characters.length)] ?? '';
  }
}

/** A string that fits `pattern`: `preferred` if it does, else a common shape, else one written from the pattern. */
export function matchingPattern(pattern: string, preferred: string, dice: () => number): string {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern, 'u');
  } catch {
    return preferred;
  }
  const known = [preferred, ...COMMON].find((candidate) => expression.test(candidate));
  if (known !== undefined) return known;
  const written = new PatternWriter(pattern, dice).write();
  return expression.test(written) ? written : preferred;
}
