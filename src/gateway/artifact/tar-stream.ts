import { concat, refuse } from '../../base/index.ts';

/** An object of a tar stream; facts only. */
export interface TarEntry {
  /** As the archive names it, without a directory's last `/`. */
  readonly name: Uint8Array;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** Of the others: what it is. */
  readonly kind: string;
  /** 12 bits. */
  readonly mode: number;
  /** Bytes; 0 for what is no file. */
  readonly size: number;
  /** Of a symbolic link. */
  readonly target: Uint8Array;
}

/** Takes one object; of a file all of its content has to be read. */
export type TarVisitor = (entry: TarEntry, content: AsyncIterable<Uint8Array>) => Promise<void>;

const BLOCK = 512;
/** A path or link target in a record of its own: PATH_MAX, its NUL, and some. */
const MAX_NAME = 8192;
/** What may follow the end marker: the rest of tar's last record. */
const MAX_TAIL = 64 * 1024;

const KINDS: Readonly<Record<string, string>> = {
  '1': 'hard link',
  '3': 'character device',
  '4': 'block device',
  '6': 'FIFO',
};

/**
 * Reads an archive of GNU tar's own format to its end. Whoever writes it may be hostile: every field is bounded, numbers
 * and checksums are judged, and nothing is taken for a name that the archive didn't spell out.
 * @throws Refusal `artifact-stream` for anything else than a whole archive
 */
export async function readTar(stream: AsyncIterable<Uint8Array>, visit: TarVisitor): Promise<void> {
  const source = new Source(stream);
  let [longName, longTarget]: (Uint8Array | undefined)[] = [];
  for (;;) {
    const header = await source.take(BLOCK);
    if (header.every((byte) => byte === 0)) {
      await source.end(MAX_TAIL);
      return;
    }
    const { type, size, ...fields } = parseHeader(header);
    if (type === 'L' || type === 'K') {
      const value = await readLong(source, size);
      if (type === 'L') longName = value;
      else longTarget = value;
      continue;
    }
    const entry = entryOf(type, size, {
      ...fields,
      name: longName ?? fields.name,
      target: longTarget ?? fields.target,
    });
    longName = longTarget = undefined;
    const content = source.content(entry.size);
    await visit(entry, content);
    // Whatever the visitor left is not of the next header.
    await source.skip(content);
    await source.take(padding(entry.size));
  }
}

interface Header {
  readonly type: string;
  readonly size: number;
  readonly mode: number;
  readonly name: Uint8Array;
  readonly target: Uint8Array;
}

/** The fields of a GNU header that count here. */
function parseHeader(header: Uint8Array): Header {
  if (Buffer.from(header.slice(257, 265)).toString('latin1') !== 'ustar  \0')
    bad('a header is not GNU tar’s');
  // The checksum's own field counts as spaces.
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (sum !== number(header.slice(148, 156))) bad('a header’s checksum is wrong');
  return {
    type: String.fromCharCode(header[156] ?? 0),
    size: number(header.slice(124, 136)),
    mode: number(header.slice(100, 108)) & 0o7777,
    name: untilNul(header.slice(0, 100)),
    target: untilNul(header.slice(157, 257)),
  };
}

function entryOf(
  type: string,
  size: number,
  { mode, name, target }: Omit<Header, 'type' | 'size'>,
): TarEntry {
  const none = { mode, size: 0, kind: '', target: new Uint8Array() };
  if (type === '0') return { ...none, type: 'file', name, size };
  if (size !== 0) bad('an object without content has some');
  if (type === '5') return { ...none, type: 'directory', name: withoutSlash(name) };
  if (type === '2') return { ...none, type: 'link', name, target };
  const kind = KINDS[type] ?? bad('an object of unknown type');
  return { ...none, type: 'other', kind, name };
}

async function readLong(source: Source, size: number): Promise<Uint8Array> {
  if (size < 2 || size > MAX_NAME) bad('a name’s length');
  const value = await source.take(size);
  await source.take(padding(size));
  if (value.indexOf(0) !== size - 1) bad('a name with or without NUL');
  return value.slice(0, -1);
}

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

const untilNul = (field: Uint8Array): Uint8Array => {
  const end = field.indexOf(0);
  return end === -1 ? field : field.slice(0, end);
};

const SLASH = 0x2f;
const withoutSlash = (name: Uint8Array): Uint8Array => (name.at(-1) === SLASH ? name.slice(0, -1) : name);

/** Octal digits, or big-endian after 0x80 where those don't suffice. */
function number(field: Uint8Array): number {
  const [first = 0, ...rest] = field;
  const value =
    first === 0x80
      ? rest.reduce((total, byte) => total * 256 + byte, 0)
      : Number.parseInt(/^ *([0-7]+)[ \0]*$/.exec(Buffer.from(field).toString('latin1'))?.[1] ?? '', 8);
  return Number.isSafeInteger(value) ? value : bad('a number');
}

const bad = (what: string): never =>
  refuse('artifact-stream', `what reads the artifact gave no archive: ${what}`);

/** Bytes in the portions that are wanted. */
class Source {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();
  /** How much of the chunk was given. */
  #at = 0;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** Exactly so many bytes. @throws Refusal `artifact-stream` */
  async take(size: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of this.content(size)) parts.push(part);
    return parts.length === 1 ? (parts[0] ?? new Uint8Array()) : concat(parts);
  }

  /** So many bytes as they come. @throws Refusal `artifact-stream` */
  async *content(size: number): AsyncGenerator<Uint8Array, void, void> {
    for (let left = size; left > 0;) {
      if (this.#at === this.#chunk.length) await this.#advance();
      const part = this.#chunk.slice(this.#at, this.#at + left);
      this.#at += part.length;
      left -= part.length;
      yield part;
    }
  }

  /** Reads what is left of a content. */
  async skip(content: AsyncGenerator<Uint8Array, void, void>): Promise<void> {
    while ((await content.next()).done !== true);
  }

  /** Reads on to the end: at most so many bytes, all zero. */
  async end(most: number): Promise<void> {
    let part: Uint8Array | undefined = this.#chunk.slice(this.#at);
    for (let left = most; part !== undefined; part = await this.#next()) {
      left -= part.length;
      if (left < 0 || part.some((byte) => byte !== 0)) bad('there is more after its end');
    }
  }

  async #advance(): Promise<void> {
    this.#chunk = (await this.#next()) ?? bad('its end is missing');
    this.#at = 0;
  }

  async #next(): Promise<Uint8Array | undefined> {
    const next = await this.#chunks.next();
    return next.done === true ? undefined : next.value;
  }
}
