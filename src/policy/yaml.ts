import { LineCounter, isAlias, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import { fromUtf8, refuse } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';

/** A YAML document as JSON, and where each member is. */
export interface YamlDocument {
  readonly value: JsonObject;
  /** Line (from 1) of a member's path, such as `policy.platforms.server`, or of what is nearest above it. */
  readonly lineOf: (path: string) => number;
}

const MAX_BYTES = 1024 * 1024;
const MAX_DEPTH = 24;
const MAX_VALUES = 100_000;

/**
 * YAML 1.2, core schema, as far as it is JSON: one document, text keys, no duplicate keys, no anchors, aliases, tags,
 * merge keys or directives, no integer over 2^53 − 1.
 * @param root name of the document in member paths
 * @throws Refusal `policy-yaml` with file and line, `malformed` when it isn't UTF-8
 */
export function parseYaml(bytes: Uint8Array, file: string, root: string): YamlDocument {
  if (bytes.length > MAX_BYTES)
    refuse('policy-yaml', `${file}: over ${String(MAX_BYTES)} bytes`, { file, line: 1 });
  return new Converter(fromUtf8(bytes, file), file).document(root);
}

class Converter {
  readonly #text: string;
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #places = new Map<string, number>();
  #values = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  document(root: string): YamlDocument {
    // `%YAML 1.1` would turn "no" into false.
    const directive = /^%/m.exec(this.#text);
    if (directive !== null)
      this.#fail('a directive', this.#text.slice(0, directive.index).split('\n').length);
    const value = this.#convert(this.#parse(), root, 0);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.#fail('not a mapping', 1);
    return { value: value as JsonObject, lineOf: (path) => this.#lineOf(path) };
  }

  #parse(): unknown {
    const documents = this.#guard(() =>
      parseAllDocuments(this.#text, {
        version: '1.2',
        schema: 'core',
        strict: true,
        uniqueKeys: true,
        merge: false,
        prettyErrors: false,
        lineCounter: this.#lines,
      }),
    );
    const [document] = documents;
    if (!Array.isArray(documents) || document === undefined) return this.#fail('no document', 1);
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) this.#fail(problem.message, this.#lines.linePos(problem.pos[0]).line);
    if (documents.length > 1) this.#fail('more than one document', 1);
    return document.contents;
  }

  /** Deep nesting fills the parser's stack; that is the text's fault. */
  #guard<T>(parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (error instanceof RangeError) return this.#fail('nested too deeply', 1);
      throw error;
    }
  }

  #convert(node: unknown, path: string, depth: number): JsonValue {
    const line = this.#lineAt(node) ?? this.#lineOf(path);
    this.#places.set(path, line);
    if (depth > MAX_DEPTH) return this.#fail('nested too deeply', line);
    if (++this.#values > MAX_VALUES) return this.#fail('too many values', line);
    if (node === null || node === undefined) return null;
    if (isAlias(node)) return this.#fail('an alias', line);
    if (hasProperty(node, 'anchor')) return this.#fail('an anchor', line);
    if (hasProperty(node, 'tag')) return this.#fail('a tag', line);
    if (isScalar(node)) return this.#scalar(node.value, line);
    if (isSeq(node))
      return node.items.map((item, i) => this.#convert(item, `${path}[${String(i)}]`, depth + 1));
    if (!isMap(node)) return this.#fail('something that is not data', line);
    return Object.fromEntries(
      node.items.map(({ key, value }) => {
        const at = this.#lineAt(key) ?? line;
        if (
          !isScalar(key) ||
          typeof key.value !== 'string' ||
          hasProperty(key, 'anchor') ||
          hasProperty(key, 'tag')
        )
          return this.#fail('a key that is not a text', at);
        if (key.value === '__proto__' || key.value === '<<') return this.#fail('a forbidden key', at);
        const member = `${path}.${key.value}`;
        this.#places.set(member, at);
        return [key.value, this.#convert(value, member, depth + 1)];
      }),
    );
  }

  #scalar(value: unknown, line: number): JsonValue {
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string') return value.isWellFormed() ? value : this.#fail('a lone surrogate', line);
    // Fractions and exponents mean nothing in a policy, and large integers would be read as other ones.
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    return this.#fail('a number that is not a safe integer', line);
  }

  #lineAt(node: unknown): number | undefined {
    if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range))
      return undefined;
    const [start] = node.range as unknown[];
    return typeof start === 'number' ? this.#lines.linePos(start).line : undefined;
  }

  #lineOf(path: string): number {
    for (let at = path; at !== ''; at = at.replace(/(?:^|\.|\[)[^.[]*$/, '')) {
      const line = this.#places.get(at);
      if (line !== undefined) return line;
    }
    return 1;
  }

  #fail(reason: string, line: number): never {
    refuse('policy-yaml', `${this.#file}:${String(line)}: ${reason}`, { file: this.#file, line });
  }
}

function hasProperty(node: object, name: 'anchor' | 'tag'): boolean {
  return name in node && (node as Record<string, unknown>)[name] !== undefined;
}
