import { Reader, Writer, concat, parseJsonObject, refuse, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';

/**
 * What goes over the local socket (docs/PROTOCOL.md, "Local socket"): type (1 byte) ‖ length (4 bytes, big-endian) ‖
 * payload. The first frame of a connection is `request`; what follows belongs to it.
 */
export const FRAME = {
  /** Caller: what is asked, JSON. */
  request: 0x01,
  /** Caller: bytes of standard input; empty is its end. */
  stdin: 0x02,
  /** Caller: `{ "signal": "TERM" }` for what runs. */
  signal: 0x03,
  /** Caller: `{ "proof": JWS }`, the answer to an event `prove`. */
  proof: 0x04,
  /** Agent: something to know while it runs, JSON. */
  event: 0x11,
  /** Agent: bytes of standard output and standard error. */
  stdout: 0x12,
  stderr: 0x13,
  /** Agent: the last frame, JSON: the answer, or `{ "denial": …, "verifier": … }`. */
  result: 0x14,
} as const;

export type FrameType = keyof typeof FRAME;

/** One frame. */
export interface Frame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

const HEADER = 5;
/** Bytes of a payload: standard input and output come in parts. */
export const MAX_PAYLOAD = 1024 * 1024;

const TYPES = new Map<number, FrameType>(
  // The keys of the constant above, by construction.
  Object.entries(FRAME).map(([name, code]) => [code, name as FrameType]),
);

/** @throws RangeError for a payload over {@link MAX_PAYLOAD} */
export function encodeFrame(type: FrameType, payload: Uint8Array = new Uint8Array()): Uint8Array {
  if (payload.length > MAX_PAYLOAD) throw new RangeError(`a frame of ${String(payload.length)} bytes`);
  return new Writer().u8(FRAME[type]).u32(payload.length).bytes(payload).finish();
}

export function encodeJsonFrame(type: FrameType, value: JsonObject): Uint8Array {
  return encodeFrame(type, utf8(JSON.stringify(value)));
}

/** A frame's payload as an object. @throws Refusal `malformed` */
export function jsonOf({ payload, type }: Frame): JsonObject {
  return parseJsonObject(payload, `frame ${type}`, {
    maxBytes: MAX_PAYLOAD,
    maxDepth: 16,
    maxValues: 20_000,
  });
}

/** Puts frames together from what arrives. */
export class FrameDecoder {
  #rest: Uint8Array = new Uint8Array();

  /** The frames that are whole now. @throws Refusal `local-frame` for an unknown type or a length over the bound */
  push(bytes: Uint8Array): Frame[] {
    const reader = new Reader(concat([this.#rest, bytes]), 'frame');
    const frames: Frame[] = [];
    for (;;) {
      const header = reader.peek(HEADER);
      if (header === undefined) break;
      const { type, length } = readHeader(header);
      if (reader.remaining < HEADER + length) break;
      reader.skip(HEADER);
      frames.push({ type, payload: reader.bytes(length) });
    }
    this.#rest = reader.rest();
    return frames;
  }
}

function readHeader(header: Uint8Array): { readonly type: FrameType; readonly length: number } {
  const reader = new Reader(header, 'frame');
  const type = TYPES.get(reader.u8()) ?? refuse('local-frame', 'a frame of an unknown type');
  const length = reader.u32();
  if (length > MAX_PAYLOAD) refuse('local-frame', `a frame of ${String(length)} bytes`, { length });
  return { type, length };
}
