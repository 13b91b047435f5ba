import { refuse } from '../../base/index.ts';
import { pathBytes } from './path-text.ts';

/** One element of a pattern. */
type Token =
  | { readonly kind: 'byte'; readonly code: number }
  /** `?`: one byte, not `/` */
  | { readonly kind: 'any' }
  /** `*`: any run of bytes without `/` */
  | { readonly kind: 'segment' }
  /** `**`: any run of bytes */
  | { readonly kind: 'path' };

const SLASH = 0x2f;
/** Longest pattern; paths have at most 4096 bytes. */
const MAX_PATTERN = 4096;
/** States kept; when there are more, all are forgotten and built again as needed. */
const MAX_STATES = 2048;

/** A set of positions in the patterns, with the sets that each byte leads to. */
interface State {
  readonly positions: readonly number[];
  /** Patterns that match here, in the order given. */
  readonly accepts: readonly number[];
  readonly next: (State | undefined)[];
}

/**
 * Many path patterns matched at once: one step per byte of the path, however many patterns there are and whatever they
 * look like. (An automaton whose states are made when they are first reached; nothing ever goes back in the path, so
 * no pattern makes matching slower than its length times the path's.)
 *
 * Patterns: `*` any run of bytes but `/`, `**` any run, `?` one byte but `/`, `\*` `\?` `\\` `\xNN` the byte itself,
 * anything else itself. The whole path has to match: `/tmp` doesn't match `/tmp/x`.
 */
export class GlobSet {
  readonly #tokens: readonly Token[];
  /** For each pattern, the position after its last token. */
  readonly #ends: ReadonlyMap<number, number>;
  readonly #starts: readonly number[];
  #states = new Map<string, State>();
  #start: State;
  #work = 0;

  /** @throws Refusal `malformed` for a pattern that has no meaning */
  constructor(patterns: readonly string[]) {
    const tokens: Token[] = [];
    const ends = new Map<number, number>();
    const starts: number[] = [];
    patterns.forEach((pattern, i) => {
      starts.push(tokens.length);
      tokens.push(...parsePattern(pattern));
      ends.set(tokens.length, i);
      // A position of its own for "matched", which nothing leads out of.
      tokens.push({ kind: 'byte', code: -1 });
    });
    this.#tokens = tokens;
    this.#ends = ends;
    this.#starts = starts;
    this.#start = this.#state(this.#closure(starts));
  }

  /** Positions looked at since the set was made: what tests of linearity count. */
  get work(): number {
    return this.#work;
  }

  /** Indexes of the patterns that match the whole path (a byte string), ascending. */
  match(path: string): readonly number[] {
    let state = this.#start;
    for (let i = 0; i < path.length && state.positions.length > 0; i++) {
      this.#work++;
      const code = path.charCodeAt(i);
      state = state.next[code] ?? this.#step(state, code);
    }
    return state.accepts;
  }

  #step(state: State, code: number): State {
    const moved: number[] = [];
    for (const position of state.positions) {
      this.#work++;
      const token = this.#tokens[position];
      if (token === undefined) continue;
      if (token.kind === 'byte' ? token.code === code : token.kind === 'any' && code !== SLASH)
        moved.push(position + 1);
      else if (token.kind === 'path' || (token.kind === 'segment' && code !== SLASH)) moved.push(position);
    }
    const next = this.#state(this.#closure(moved));
    state.next[code] = next;
    return next;
  }

  /** The positions, and those behind runs that may be empty. */
  #closure(positions: readonly number[]): number[] {
    const all = new Set<number>();
    for (let position of positions) {
      all.add(position);
      for (let token = this.#tokens[position]; token?.kind === 'segment' || token?.kind === 'path';) {
        all.add(++position);
        token = this.#tokens[position];
      }
    }
    return [...all].sort((a, b) => a - b);
  }

  #state(positions: readonly number[]): State {
    const key = positions.join();
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_STATES) this.#forget();
    const accepts = positions.flatMap((position) => this.#ends.get(position) ?? []);
    const state: State = { positions, accepts, next: [] };
    this.#states.set(key, state);
    return state;
  }

  #forget(): void {
    this.#states = new Map();
    this.#start = { ...this.#start, next: [] };
    this.#states.set(this.#closure(this.#starts).join(), this.#start);
  }
}

function parsePattern(pattern: string): Token[] {
  if (pattern === '') malformed(pattern, 'empty');
  if (pattern.length > MAX_PATTERN) malformed(pattern.slice(0, 64), 'too long');
  const tokens: Token[] = [];
  for (const part of pattern.split(/(\\[*?]|\\\\|\\x[0-9a-fA-F]{2}|\*+|\?)/)) {
    if (part === '?') tokens.push({ kind: 'any' });
    else if (part === '*') tokens.push({ kind: 'segment' });
    else if (part === '**') tokens.push({ kind: 'path' });
    else if (part.startsWith('*')) malformed(pattern, 'more than two * in a row');
    else if (part === '\\*' || part === '\\?') tokens.push({ kind: 'byte', code: part.charCodeAt(1) });
    else for (const byte of pathBytes(part)) tokens.push({ kind: 'byte', code: byte.charCodeAt(0) });
  }
  return tokens;
}

function malformed(pattern: string, reason: string): never {
  refuse('malformed', `path pattern: ${reason}`, { structure: 'path pattern', pattern });
}
