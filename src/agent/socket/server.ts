import { chmodSync, lchownSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import path from 'node:path';
import { Refusal, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { VerifierRefusal } from '../../client/index.ts';
import { toDenial } from '../../lifecycle/index.ts';
import { loadNative } from '../open-tpm.ts';
import type { LocalCaller } from '../runner-port.ts';
import { Conversation } from './conversation.ts';

/** Who may ask, and where. */
export interface LocalSocketOptions {
  readonly path: string;
  /** Permission bits of the socket: who may connect is whoever may write to it. */
  readonly mode: number;
  /** Users who may ask; null for everyone who can connect. Root always may. */
  readonly uids: ReadonlySet<number> | null;
  readonly maxConnections: number;
  /** Root is not answered either, unless it is named. */
  readonly onlyThose?: boolean;
  /** Whose the socket is, where this program is root. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** Answers one conversation. */
export type LocalHandler = (conversation: Conversation, caller: LocalCaller) => Promise<void>;

/**
 * The agent's local socket. Who is at the other end is what the kernel says (SO_PEERCRED), never what is sent.
 */
export class LocalSocket implements AsyncDisposable {
  readonly #server: Server;
  readonly #path: string;
  readonly #open = new Set<Socket>();

  private constructor(server: Server, file: string) {
    this.#server = server;
    this.#path = file;
  }

  /**
   * Listens. The directory is made 0755 when it isn't there; a socket that nobody listens to is replaced.
   * @throws Refusal `local-socket` when another agent listens there, or something else than a socket is there
   */
  static async listen(options: LocalSocketOptions, handle: LocalHandler): Promise<LocalSocket> {
    const file = path.resolve(options.path);
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 });
    await removeStale(file);
    const { peerCredentials } = await loadNative();
    const server = createServer({ allowHalfOpen: true });
    const local = new LocalSocket(server, file);
    server.maxConnections = options.maxConnections;
    server.on('connection', (socket) => {
      local.#open.add(socket);
      socket.on('close', () => local.#open.delete(socket));
      const caller = callerOf(socket, peerCredentials);
      void serve(socket, caller, options, handle);
    });
    await listening(server, file, options);
    return local;
  }

  /** Takes no more callers; gives those who are there what is left of the grace, then ends them. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    const timer = setTimeout(() => {
      for (const socket of this.#open) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    rmSync(this.#path, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0);
  }
}

async function listening(
  server: Server,
  file: string,
  { mode, owner }: Pick<LocalSocketOptions, 'mode' | 'owner'>,
): Promise<void> {
  // Nobody may connect between bind and chmod.
  const before = process.umask(0o777);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(file, resolve);
      // bind(2) was called by listen: what is made after this tick has its usual mode again.
      process.umask(before);
    });
  } finally {
    process.umask(before);
  }
  if (owner !== undefined && process.getuid?.() === 0) lchownSync(file, owner.uid, owner.gid);
  chmodSync(file, mode);
}

async function removeStale(file: string): Promise<void> {
  const status = lstatSync(file, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket()) refuse('local-socket', 'something else than a socket is there', { path: file });
  const { connect } = await import('node:net');
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(file);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => {
      resolve(false);
    });
  });
  if (answers) refuse('local-socket', 'another agent listens there', { path: file });
  rmSync(file, { force: true });
}

/** The descriptor of a connected socket: Node shows it only on its handle. */
function callerOf(
  socket: Socket,
  peerCredentials: (descriptor: number) => LocalCaller,
): LocalCaller | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  const descriptor: unknown =
    typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null;
  if (typeof descriptor !== 'number' || descriptor < 0) return undefined;
  try {
    return peerCredentials(descriptor);
  } catch {
    return undefined;
  }
}

async function serve(
  socket: Socket,
  caller: LocalCaller | undefined,
  { uids, onlyThose = false }: LocalSocketOptions,
  handle: LocalHandler,
): Promise<void> {
  const conversation = new Conversation(socket);
  try {
    if (caller === undefined) return refuse('local-caller', 'the kernel doesn’t say who is calling');
    if (uids !== null && !uids.has(caller.uid) && (onlyThose || caller.uid !== 0))
      refuse('local-caller', 'this user may not ask the agent', { uid: caller.uid });
    await handle(conversation, caller);
  } catch (error) {
    conversation.end(denialFrame(error));
  }
}

/** A denial of the agent's own, or the verifier's as it came: then with the leaf that it has in the log. */
function denialFrame(error: unknown): JsonObject {
  if (error instanceof VerifierRefusal) {
    const { denial, status, auditIndex = null } = error;
    return { denial: { ...denial }, verifier: { status, auditIndex } };
  }
  const refusal =
    error instanceof Refusal
      ? error
      : new Refusal('internal', error instanceof Error ? error.message : String(error));
  return { denial: { ...toDenial(refusal) }, verifier: null };
}
