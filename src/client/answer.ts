import type { IncomingMessage } from 'node:http';
import { Refusal, fromUtf8, isJsonObject, parseJson, refuse } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';

/** What the verifier answered; read strictly when it is looked at. Nothing in it is believed yet. */
export class VerifierAnswer {
  readonly status: number;
  /** Media type without parameters, lowercase. */
  readonly type: string;
  readonly bytes: Uint8Array;

  constructor(status: number, type: string, bytes: Uint8Array) {
    this.status = status;
    this.type = type;
    this.bytes = bytes;
  }

  /** A JSON object: no duplicate members, no integer over 2^53 − 1. @throws Refusal `verifier-answer` */
  get json(): JsonObject {
    const value = this.#value();
    return isJsonObject(value) ? value : refuse('verifier-answer', 'the answer is not a JSON object');
  }

  /** A JSON list. @throws Refusal `verifier-answer` */
  get list(): readonly JsonValue[] {
    const value = this.#value();
    // What Array.isArray leaves of a JsonValue are its lists.
    if (Array.isArray(value)) return value as readonly JsonValue[];
    return refuse('verifier-answer', 'the answer is not a JSON list');
  }

  /** UTF-8 text. @throws Refusal `verifier-answer` */
  get text(): string {
    return answered(() => fromUtf8(this.bytes, 'answer'));
  }

  #value(): JsonValue {
    if (!/^application\/(?:[a-z0-9.-]+\+)?json$/.test(this.type))
      refuse('verifier-answer', `the answer is not JSON but ${this.type.slice(0, 64) || 'of no type'}`);
    return answered(() => parseJson(this.bytes, 'answer', { maxBytes: this.bytes.length }));
  }
}

/** Reads a response into memory, never more than `maxBytes`. @throws Refusal `verifier-answer` */
export async function readAnswer(response: IncomingMessage, maxBytes: number): Promise<VerifierAnswer> {
  const { headers } = response;
  const over = (): never => {
    response.destroy();
    return refuse('verifier-answer', `the answer is over ${String(maxBytes)} bytes`, { maxBytes });
  };
  if (Number(headers['content-length'] ?? 0) > maxBytes) over();
  if (headers['content-encoding'] !== undefined) {
    response.destroy();
    refuse('verifier-answer', 'the answer is encoded, which was not asked for');
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > maxBytes) over();
    parts.push(part);
  }
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  return new VerifierAnswer(
    response.statusCode ?? 0,
    type.trim().toLowerCase(),
    new Uint8Array(Buffer.concat(parts)),
  );
}

/** A form that isn't right is here the verifier's, not the caller's. */
function answered<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refusal && error.check === 'malformed')
      return refuse('verifier-answer', error.reason, error.detail);
    throw error;
  }
}
