import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { refuse } from '../base/index.ts';

/** One server-sent event (WHATWG HTML, "Server-sent events"). */
export interface ServerEvent {
  /** What a resumed stream names; undefined where it has none. */
  readonly id: string | undefined;
  readonly event: string;
  readonly data: string;
}

/** Characters of one event; a stream that sends more is not the verifier's. */
const MAX_EVENT = 256 * 1024;

/**
 * Reads server-sent events from an answer, until it ends. Comments keep the stream alive and are passed over.
 * @param idleMs silence after which the other side is taken for gone
 * @throws Refusal `verifier-answer` when an event is too large; `verifier-unreachable` on silence
 */
export async function* readEvents(response: IncomingMessage, idleMs: number): AsyncGenerator<ServerEvent> {
  const silence = new AbortController();
  const watch = setTimeout(() => {
    silence.abort();
    response.destroy();
  }, idleMs);
  // UTF-8 sequences may be cut anywhere.
  const decoder = new StringDecoder('utf8');
  const parser = new EventParser();
  try {
    for await (const part of response as AsyncIterable<Uint8Array>) {
      watch.refresh();
      yield* parser.push(decoder.write(Buffer.from(part)));
    }
  } catch (error) {
    if (silence.signal.aborted) refuse('verifier-unreachable', 'the verifier sends no more events');
    throw error;
  } finally {
    clearTimeout(watch);
    response.destroy();
  }
}

/** Lines to events: `id`, `event` and `data` count, other fields are passed over as the specification asks. */
class EventParser {
  #rest = '';
  #id: string | undefined;
  #event = 'message';
  #data: string[] = [];

  push(text: string): readonly ServerEvent[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    const length = this.#rest.length + this.#data.reduce((sum, part) => sum + part.length, 0);
    if (length > MAX_EVENT) refuse('verifier-answer', 'an event is too large', { most: MAX_EVENT });
    return lines.flatMap((line) => this.#line(line.replace(/\r$/, '')));
  }

  #line(line: string): readonly ServerEvent[] {
    if (line === '') return this.#dispatch();
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === 'id') this.#id = value;
    else if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    return [];
  }

  #dispatch(): readonly ServerEvent[] {
    const event = { id: this.#id, event: this.#event, data: this.#data.join('\n') };
    const empty = this.#data.length === 0;
    this.#id = undefined;
    this.#event = 'message';
    this.#data = [];
    return empty ? [] : [event];
  }
}
