import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { Refusal, isJsonObject, refuse, shape } from '../../base/index.ts';
import type { JsonObject, Shape } from '../../base/index.ts';
import { VerifierRefusal } from '../verifier-refusal.ts';
import { FrameDecoder, MAX_PAYLOAD, encodeFrame, encodeJsonFrame, jsonOf } from './frames.ts';
import type { Frame } from './frames.ts';

/** Where the agent listens when nobody says otherwise. */
export const DEFAULT_SOCKET = '/run/sealgate/agent.sock';

/** What a holder's proof is for. */
export interface ProofQuestion {
  readonly aud: string;
  readonly nonce: string;
  /** Hex SHA-256. */
  readonly requestDigest: string;
}

/** A holder's proof, and the authorization that it goes with. */
export interface HolderAnswer {
  readonly proof: string;
  readonly authorization: string;
}

/** What a request is connected to. */
export interface LocalStreams {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly onEvent?: (event: JsonObject) => void;
  /** Called with a function that sends a signal (by name without SIG) to what runs. */
  readonly onSignals?: (send: (signal: string) => void) => void;
  /** Proves that the parent that an order names is held here: a JWS `exec-holder+jwt`, and its authorization now. */
  readonly onProve?: (question: ProofQuestion) => Promise<HolderAnswer>;
  /** Ends the request: what runs is ended by the agent. */
  readonly signal?: AbortSignal;
}

/**
 * Asks the agent over its local socket, and relays standard streams and signals while it answers.
 * @param request `{ "v": 1, "op": "run" | "status", … }` (docs/PROTOCOL.md, "Local socket")
 * @returns the result frame's object
 * @throws Refusal `agent-unreachable` when nobody listens there or the agent ended; the agent's denial; VerifierRefusal
 */
export async function askAgent(
  path: string,
  request: JsonObject,
  streams: LocalStreams = {},
): Promise<JsonObject> {
  const socket = await open(path);
  const abort = (): void => {
    socket.destroy();
  };
  streams.signal?.addEventListener('abort', abort, { once: true });
  try {
    const result = receive(socket, path, streams);
    socket.write(encodeJsonFrame('request', request));
    streams.onSignals?.((signal) => {
      if (!socket.destroyed) socket.write(encodeJsonFrame('signal', { signal }));
    });
    if (streams.stdin !== undefined) relayInput(streams.stdin, socket);
    else socket.write(encodeFrame('stdin'));
    return requireAnswer(await result);
  } finally {
    streams.signal?.removeEventListener('abort', abort);
    socket.destroy();
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      resolve(socket);
    });
    socket.once('error', (error) => {
      const code = 'code' in error ? String(error.code) : error.message;
      reject(new Refusal('agent-unreachable', `no agent answers at its socket (${code})`, { path }));
    });
  });
}

/** Sends what is read, and waits while the agent doesn't take it. */
function relayInput(stdin: Readable, socket: Socket): void {
  stdin.on('data', (chunk: Buffer | string) => {
    const bytes = new Uint8Array(Buffer.from(chunk));
    let flows = true;
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD)
      flows = !socket.destroyed && socket.write(encodeFrame('stdin', bytes.slice(at, at + MAX_PAYLOAD)));
    if (flows || socket.destroyed) return;
    stdin.pause();
    socket.once('drain', () => stdin.resume());
  });
  stdin.once('end', () => {
    if (!socket.destroyed) socket.write(encodeFrame('stdin'));
  });
  // A terminal or pipe that is still open must not keep the process when the answer has come.
  socket.once('close', () => {
    stdin.pause();
  });
}

function receive(socket: Socket, path: string, streams: LocalStreams): Promise<JsonObject> {
  const decoder = new FrameDecoder();
  return new Promise((resolve, reject) => {
    const take = (frame: Frame): void => {
      if (frame.type === 'result') resolve(jsonOf(frame));
      else if (frame.type === 'event') takeEvent(jsonOf(frame), socket, streams);
      else if (frame.type === 'stdout') deliver(streams.stdout, frame.payload, socket);
      else if (frame.type === 'stderr') deliver(streams.stderr, frame.payload, socket);
      else refuse('local-frame', 'a frame that an agent doesn’t send', { type: frame.type });
    };
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of decoder.push(new Uint8Array(bytes))) take(frame);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    // Also without an error: an agent that ended before its result gave none.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      reject(new Refusal('agent-unreachable', 'the agent ended before it answered', { path }));
    });
  });
}

function takeEvent(event: JsonObject, socket: Socket, { onEvent, onProve }: LocalStreams): void {
  if (event['event'] !== 'prove') {
    onEvent?.(event);
    return;
  }
  const answer = (content: JsonObject): void => {
    if (!socket.destroyed) socket.write(encodeJsonFrame('proof', content));
  };
  const { aud, nonce, requestDigest } = questionShape(event, 'prove', (at, want) =>
    refuse('local-frame', `${at} is not ${want}`),
  );
  if (onProve === undefined) answer({ proof: null, reason: 'nothing here proves a parent' });
  else
    onProve({ aud, nonce, requestDigest }).then(
      ({ proof, authorization }) => {
        answer({ proof, authorization });
      },
      (error: unknown) => {
        answer({ proof: null, reason: error instanceof Error ? error.message : String(error) });
      },
    );
}

function deliver(output: Writable | undefined, bytes: Uint8Array, socket: Socket): void {
  if (output === undefined || output.write(bytes)) return;
  socket.pause();
  output.once('drain', () => socket.resume());
}

const { integer, nullable, object, text } = shape;
const word = text({ max: 4096 });
const anyObject: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const questionShape = object({
  ...{ event: shape.oneOf('prove'), aud: word, nonce: word, requestDigest: shape.hex32 },
});
const denialFrame = object({
  denial: object({
    ...{ stage: word, code: word, check: word, reason: word, remedy: text({ min: 0, max: 4096 }) },
    detail: anyObject,
  }),
  verifier: nullable(
    object({ status: integer(100, 599), auditIndex: nullable(text({ pattern: /^(?:0|[1-9]\d{0,19})$/ })) }),
  ),
});

/** A denial becomes ours: the agent's own with its check and reason, the verifier's whole. */
function requireAnswer(result: JsonObject): JsonObject {
  if (!Object.hasOwn(result, 'denial')) return result;
  const { denial, verifier } = denialFrame(result, 'result', (path, want) =>
    refuse('local-frame', `${path} is not ${want}`),
  );
  if (verifier === null) throw Refusal.revive(denial);
  throw new VerifierRefusal(denial, verifier.status, verifier.auditIndex ?? undefined);
}
