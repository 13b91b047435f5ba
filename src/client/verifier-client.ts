import { createPrivateKey } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { Refusal, refuse } from '../base/index.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import { readAnswer } from './answer.ts';
import type { VerifierAnswer } from './answer.ts';
import { readEvents } from './event-stream.ts';
import type { ServerEvent } from './event-stream.ts';
import { PinnedAgent } from './pinned-agent.ts';
import { readProblem } from './verifier-refusal.ts';

/** Which verifier, and as whom. */
export interface VerifierAddress {
  /** `https://HOST[:PORT]`, nothing more. */
  readonly url: string;
  /** Hex SHA-256 of the DER of the verifier's TLS CA certificate: the only one that is believed. */
  readonly caFingerprint: string;
  /** Client certificate and private key (PEM), both or neither. */
  readonly certificatePem?: string;
  readonly keyPem?: string;
  readonly clock?: Clock;
  /** Milliseconds for connection and handshake; default 10 s. */
  readonly connectMs?: number;
  /** Milliseconds for one whole request; default 60 s. */
  readonly requestMs?: number;
}

/** One request. */
export interface RequestOptions {
  readonly body?: JsonObject;
  /** Bytes of the answer; default 1 MiB, at most 64 MiB. */
  readonly maxBytes?: number;
  /** Statuses that are an answer; default 200 to 299. */
  readonly expect?: readonly number[];
  readonly signal?: AbortSignal;
}

/** A stream of events. */
export interface EventOptions {
  /** Id of the last event that was seen. */
  readonly lastEventId?: string;
  /** Milliseconds of silence after which the verifier is taken for gone. */
  readonly idleMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Called when the stream begins. */
  readonly onOpen?: () => void;
}

const EVENT_STREAM = 'text/event-stream';

/** A client is made in processes that have a clock. */
const SYSTEM_CLOCK: Clock = { now: () => new Date().getTime() };
const DEFAULT_BYTES = 1024 * 1024;
/** The largest answer that may be asked for. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const CONNECT_MS = 10_000;
const REQUEST_MS = 60_000;

/**
 * The verifier's API over HTTPS: TLS 1.3, the verifier's own CA pinned by its fingerprint, strict JSON, bounded answers,
 * no redirects, no proxies, no cookies. A denial (`application/problem+json`) is thrown as {@link VerifierRefusal}.
 *
 * A server sees the client certificate in the handshake, before it could be judged; it gains nothing by it, since the
 * signature in the handshake counts for that handshake only.
 */
export class VerifierClient implements AsyncDisposable {
  readonly url: string;
  readonly #agent: PinnedAgent;
  readonly #requestMs: number;

  private constructor(url: URL, agent: PinnedAgent, requestMs: number) {
    this.url = url.origin;
    this.#agent = agent;
    this.#requestMs = requestMs;
  }

  /**
   * A client of one verifier. The connection is made with the first request (and again when it was lost), so that a
   * verifier that is away for a moment stops nobody from starting.
   * @throws Refusal `verifier-address` when URL, fingerprint or key can't be ones
   */
  static connect(address: VerifierAddress): Promise<VerifierClient> {
    return Promise.resolve().then(() => VerifierClient.#make(address));
  }

  static #make(address: VerifierAddress): VerifierClient {
    const { caFingerprint, certificatePem, keyPem, clock = SYSTEM_CLOCK } = address;
    const url = httpsUrl(address.url);
    if (!/^[0-9a-f]{64}$/.test(caFingerprint))
      refuse('verifier-address', 'the CA fingerprint is not 64 lowercase hex digits');
    if ((certificatePem === undefined) !== (keyPem === undefined))
      refuse('verifier-address', 'a client certificate and its key come together');
    if (keyPem !== undefined) requireKey(keyPem);
    const agent = new PinnedAgent({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 443),
      caFingerprint,
      ...(certificatePem === undefined || keyPem === undefined ? {} : { certificatePem, keyPem }),
      clock,
      connectMs: address.connectMs ?? CONNECT_MS,
    });
    return new VerifierClient(url, agent, address.requestMs ?? REQUEST_MS);
  }

  /**
   * Sends one request and reads its answer.
   * @param path absolute, with its query
   * @throws VerifierRefusal; Refusal `verifier-unreachable`, `verifier-pin`, `verifier-name`, `verifier-answer`, `x509-…`
   */
  async request(method: 'GET' | 'POST', path: string, options: RequestOptions = {}): Promise<VerifierAnswer> {
    const { maxBytes = DEFAULT_BYTES, expect } = options;
    if (maxBytes > MAX_ANSWER_BYTES) throw new RangeError(`over ${String(MAX_ANSWER_BYTES)} bytes`);
    const ends = AbortSignal.any([
      AbortSignal.timeout(this.#requestMs),
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    let answer: VerifierAnswer;
    try {
      answer = await readAnswer(await this.#send(method, path, options.body, ends), maxBytes);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      options.signal?.throwIfAborted();
      return refuse('verifier-unreachable', `no answer from ${this.url}: ${wordOf(error, ends)}`, {
        url: this.url,
      });
    }
    const good = expect?.includes(answer.status) ?? (answer.status >= 200 && answer.status < 300);
    return good ? answer : refusedBy(answer);
  }

  /**
   * Reads server-sent events, from the answer's beginning to its end.
   * @param path absolute, with its query
   * @throws VerifierRefusal; Refusal as {@link request}, also while it is read
   */
  async *events(path: string, options: EventOptions): AsyncGenerator<ServerEvent> {
    const { lastEventId, idleMs, signal, onOpen } = options;
    const first = AbortSignal.any([AbortSignal.timeout(this.#requestMs), signal]);
    const headers = {
      accept: EVENT_STREAM,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    };
    try {
      const response = await this.#send('GET', path, undefined, first, { headers, until: signal });
      const [type = ''] = (response.headers['content-type'] ?? '').split(';');
      if (response.statusCode !== 200 || type.trim().toLowerCase() !== EVENT_STREAM)
        return refusedBy(await readAnswer(response, DEFAULT_BYTES));
      onOpen?.();
      yield* readEvents(response, idleMs);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      signal.throwIfAborted();
      return refuse('verifier-unreachable', `no events from ${this.url}: ${wordOf(error, first)}`, {
        url: this.url,
      });
    }
  }

  /** Closes idle connections. The client may still be used, and closed again. */
  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #send(
    method: string,
    path: string,
    body: JsonObject | undefined,
    signal: AbortSignal,
    { headers = {}, until = signal }: { readonly headers?: object; readonly until?: AbortSignal } = {},
  ): Promise<IncomingMessage> {
    if (!/^\/[!-~]*$/.test(path)) throw new TypeError('not the path of a request');
    const data = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const { hostname, port } = new URL(this.url);
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        {
          ...{ method, path, hostname, port: port === '' ? 443 : port, agent: this.#agent, signal: until },
          headers: {
            accept: 'application/json, application/problem+json, text/plain, application/octet-stream',
            ...(data === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': data.length }),
            ...headers,
          },
        },
        (response) => {
          signal.removeEventListener('abort', late);
          resolve(response);
        },
      );
      // Where the answer may take longer than the wait for its beginning.
      const late = (): void => {
        request.destroy(new Error('not in time'));
      };
      if (until !== signal) signal.addEventListener('abort', late, { once: true });
      request.on('error', reject);
      request.end(data);
    });
  }
}

/** What isn't the answer that was asked for: the verifier's denial, or something that no verifier says. */
function refusedBy(answer: VerifierAnswer): never {
  const { status, type } = answer;
  const problem = type === 'application/problem+json' ? readProblem(answer.json, status) : undefined;
  if (problem !== undefined) throw problem;
  if (status >= 300 && status < 400)
    return refuse('verifier-answer', 'the server answers with a redirect, which is not followed', { status });
  return refuse('verifier-answer', `the server answers with status ${String(status)}`, { status });
}

function httpsUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url?.protocol !== 'https:' ||
    url.pathname !== '/' ||
    url.username + url.password + url.search + url.hash !== ''
  )
    return refuse('verifier-address', 'the address of a verifier is https://HOST:PORT and nothing more');
  return url;
}

function requireKey(pem: string): void {
  try {
    createPrivateKey(pem);
  } catch {
    refuse('verifier-address', 'the client key is not a private key in PEM');
  }
}

/** Why there is no answer, in few words: the error's code where it has one. */
function wordOf(error: unknown, ends: AbortSignal): string {
  if (ends.aborted) return 'not in time';
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error ? String(error.code) : error.message;
}
