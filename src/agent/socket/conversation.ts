import type { Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import type { Readable } from 'node:stream';
import type { HolderBinding } from '../../authorization/index.ts';
import { Refusal, refuse, toHex } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import {
  FrameDecoder,
  MAX_PAYLOAD,
  encodeFrame,
  encodeJsonFrame,
  jsonOf,
} from '../../client/local/frames.ts';
import type { Frame, FrameType } from '../../client/local/frames.ts';
import type { ProvedParent } from '../runner-port.ts';

/** How long a caller has to say what it wants, in milliseconds. */
const REQUEST_MS = 10_000;

/** Signals that may come before there is anything to take them. */
const MAX_EARLY = 32;

/** Longest proof and authorization that are taken, in characters. */
const MAX_PROOF = 4096;
const MAX_TOKEN = 16_384;
const isToken = (value: JsonValue | undefined, max: number): value is string =>
  typeof value === 'string' && value.length <= max;

/** How long a caller has to make a proof: the TPM is locked meanwhile. */
const PROOF_MS = 5000;

/** How long an ended conversation may take to be read. */
const LINGER_MS = 2000;

/**
 * The agent's side of one connection: one request, then standard input and signals to it, output and one result from it.
 */
export class Conversation {
  readonly stdin: Readable;
  /** Fires when the caller is gone. */
  readonly gone: AbortSignal;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #input = new PassThrough();
  readonly #abort = new AbortController();
  readonly #signals: ((signal: string) => void)[] = [];
  readonly #early: string[] = [];
  #request: ((frame: Frame) => void) | undefined;
  /** Takes the answer to the one question that is open. */
  #proof: ((answer: JsonObject) => void) | undefined;
  #failed: ((error: unknown) => void) | undefined;
  readonly #first: Promise<JsonObject>;
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.stdin = this.#input;
    this.gone = this.#abort.signal;
    this.#first = new Promise<JsonObject>((resolve, reject) => {
      this.#request = (frame) => {
        resolve(jsonOf(frame));
      };
      this.#failed = reject;
    });
    // Whether anybody waits for the request or not, its failure is no crash.
    this.#first.catch(() => undefined);
    this.#listen();
  }

  /** What is asked: the first frame. @throws Refusal `local-frame`, `malformed` */
  async request(): Promise<JsonObject> {
    const timer = setTimeout(() => {
      this.#fail(new Refusal('local-frame', 'no request came'));
    }, REQUEST_MS);
    try {
      return await this.#first;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Signals that the caller sends on; those that came before are told at once. */
  onSignal(listener: (signal: string) => void): void {
    this.#signals.push(listener);
    for (const signal of this.#early.splice(0)) listener(signal);
  }

  /** A stream whose bytes go to the caller; it waits while the caller doesn't read. */
  output(type: 'stdout' | 'stderr'): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#sendParts(type, chunk, done);
      },
    });
  }

  /**
   * Has the caller prove that it holds the parent that its order names: who holds that key is not here, and who asks for
   * it does so with its own rights.
   * @throws Refusal `parent-proof`
   */
  async prove({ audience, nonce, requestDigest }: HolderBinding): Promise<ProvedParent> {
    if (this.#proof !== undefined) return refuse('parent-proof', 'a proof is asked for already');
    let stop = (): void => undefined;
    try {
      const answer = await new Promise<JsonObject>((resolve, reject) => {
        const fail = (): void => {
          reject(new Refusal('parent-proof', 'the caller made no proof in time'));
        };
        const timer = setTimeout(fail, PROOF_MS);
        this.gone.addEventListener('abort', fail, { once: true });
        stop = () => {
          clearTimeout(timer);
          this.gone.removeEventListener('abort', fail);
        };
        this.#proof = resolve;
        this.event({ event: 'prove', aud: audience, nonce, requestDigest: toHex(requestDigest) });
      });
      const { proof, authorization = null, reason } = answer;
      if (isToken(proof, MAX_PROOF))
        return { proof, authorization: isToken(authorization, MAX_TOKEN) ? authorization : null };
      const why = typeof reason === 'string' ? `: ${reason.slice(0, 500)}` : '';
      return refuse('parent-proof', `the caller can’t prove that it holds the parent${why}`);
    } finally {
      stop();
      this.#proof = undefined;
    }
  }

  event(event: JsonObject): void {
    this.#send(encodeJsonFrame('event', event));
  }

  /** The last frame. */
  end(result: JsonObject): void {
    if (this.#ended) return;
    this.#ended = true;
    const socket = this.#socket;
    if (!socket.destroyed)
      socket.end(encodeJsonFrame('result', result), () => {
        // All of it is sent. A caller that never closes its half would keep its place for ever.
        setTimeout(() => socket.destroy(), LINGER_MS).unref();
      });
    this.#input.destroy();
  }

  #listen(): void {
    this.#socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of this.#decoder.push(new Uint8Array(bytes))) this.#take(frame);
      } catch (error) {
        this.#fail(error);
      }
    });
    this.#socket.on('end', () => {
      // The end of standard input is a frame; a caller whose stream ends was ended itself.
      this.#fail(new Refusal('local-frame', 'the caller is gone'));
      this.#input.end();
    });
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.#fail(new Refusal('local-frame', 'the caller is gone'));
      this.#input.destroy();
      this.#abort.abort();
    });
  }

  #take(frame: Frame): void {
    const first = this.#request;
    if (first !== undefined) {
      if (frame.type !== 'request') refuse('local-frame', 'the first frame is no request');
      this.#request = undefined;
      first(frame);
    } else if (frame.type === 'stdin') this.#feed(frame.payload);
    else if (frame.type === 'signal') this.#signal(jsonOf(frame));
    else if (frame.type === 'proof' && this.#proof !== undefined) this.#proof(jsonOf(frame));
    else refuse('local-frame', 'a frame that a caller doesn’t send', { type: frame.type });
  }

  #feed(payload: Uint8Array): void {
    if (payload.length === 0) this.#input.end();
    else if (!this.#input.writableEnded && !this.#input.destroyed && !this.#input.write(payload)) {
      this.#socket.pause();
      this.#input.once('drain', () => this.#socket.resume());
    }
  }

  #signal({ signal }: JsonObject): void {
    if (typeof signal !== 'string' || !/^[A-Z0-9+]{2,12}$/.test(signal))
      refuse('local-frame', 'a signal without a name');
    if (this.#signals.length === 0 && this.#early.push(signal) > MAX_EARLY)
      refuse('local-frame', 'too many signals before anything runs');
    for (const listener of this.#signals) listener(signal);
  }

  #fail(error: unknown): void {
    this.#request = undefined;
    this.#failed?.(error);
    if (error instanceof Refusal && error.check === 'local-frame') this.#abort.abort();
  }

  #send(bytes: Uint8Array): void {
    if (!this.#ended && !this.#socket.destroyed) this.#socket.write(bytes);
  }

  #sendParts(type: FrameType, chunk: Buffer, done: (error?: Error | null) => void): void {
    if (this.#ended || this.#socket.destroyed) {
      done(new Error('the caller is gone'));
      return;
    }
    const bytes = new Uint8Array(chunk);
    for (let at = 0; at + MAX_PAYLOAD < bytes.length; at += MAX_PAYLOAD)
      this.#socket.write(encodeFrame(type, bytes.slice(at, at + MAX_PAYLOAD)));
    const last = bytes.slice(Math.max(0, Math.ceil(bytes.length / MAX_PAYLOAD) - 1) * MAX_PAYLOAD);
    if (this.#socket.write(encodeFrame(type, last))) done();
    else
      this.#socket.once('drain', () => {
        done();
      });
  }
}
