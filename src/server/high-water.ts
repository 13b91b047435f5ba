import { existsSync, readFileSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { parseCheckpoint, treeRoot, verifyCheckpoint } from '../audit/index.ts';
import type { Checkpoint, TileReader, VerifierKey } from '../audit/index.ts';
import { equalBytes, refuse } from '../base/index.ts';

/** What the name of a mark goes on with when its log was closed (store restore --successor). */
export const CLOSED_MARK = '.closed-';

const SPACING_MS = 50;
const MAX_BYTES = 128 * 1024;

/** What of the store is compared with the file. */
export interface LogHead {
  readonly size: bigint;
  readonly tiles: TileReader;
}

/**
 * Compares the store's log with the newest checkpoint that was remembered outside it: a store that is older, or that
 * has another history, is not the one whose answers were given.
 * @throws Refusal `log-behind`, `log-signature`, `log-origin`, `malformed`
 */
export async function requireHighWater(
  file: string,
  head: LogHead,
  keys: readonly VerifierKey[],
): Promise<void> {
  const remembered = readHighWater(file, keys);
  if (remembered !== undefined) await requireContinues(head, remembered);
}

/**
 * The newest checkpoint that was remembered outside the store; undefined where nothing was.
 * @throws Refusal `log-behind`, `log-signature`, `log-origin`, `malformed`
 */
export function readHighWater(file: string, keys: readonly VerifierKey[]): Checkpoint | undefined {
  if (!existsSync(file)) return undefined;
  if (statSync(file).size > MAX_BYTES)
    refuse('log-behind', 'the high-water file is not a checkpoint', { file });
  const checkpoint = parseCheckpoint(new Uint8Array(readFileSync(file)));
  verifyCheckpoint(checkpoint, keys);
  return checkpoint.claimed;
}

/** A log has everything that a checkpoint of it covers. @throws Refusal `log-behind` */
export async function requireContinues(head: LogHead, { size, root }: Checkpoint): Promise<void> {
  const sizes = { store: String(head.size), published: String(size) };
  if (head.size < size)
    refuse('log-behind', 'the store’s log is shorter than a checkpoint that was published', sizes);
  if (size > 0n && !equalBytes(await treeRoot(size, head.tiles), root))
    refuse('log-behind', 'the store’s log has another history than a checkpoint that was published', sizes);
}

/** Keeps the file at the newest checkpoint. Writes never overlap; what came meanwhile is written once, at the end. */
export class HighWater {
  readonly #file: string;
  #next: string | undefined;
  #writing: Promise<void> | undefined;
  readonly #onError: (error: unknown) => void;

  constructor(file: string, onError: (error: unknown) => void) {
    this.#file = file;
    this.#onError = onError;
  }

  /** A checkpoint whose commit is durable. */
  note(checkpoint: string): void {
    this.#next = checkpoint;
    this.#writing ??= this.#write();
  }

  /** Resolves when everything noted is on disk. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    try {
      for (let text = this.#take(); text !== undefined; text = this.#take()) {
        await writeHighWater(this.#file, text);
        // Under load what comes meanwhile is one write: each waits for the disk, as the commits do.
        await setTimeout(SPACING_MS);
      }
    } catch (error) {
      // The log itself is durable; a full disk elsewhere must not stop decisions, but somebody has to know.
      this.#onError(error);
    } finally {
      this.#writing = undefined;
    }
  }

  #take(): string | undefined {
    const text = this.#next;
    this.#next = undefined;
    return text;
  }
}

/** Puts a checkpoint in the file's place, on disk when it resolves. @param text a signed note of a newer head */
export async function writeHighWater(file: string, text: string): Promise<void> {
  const handle = await open(`${file}.new`, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
}
