import { request as httpsRequest } from 'node:https';
import type { AgentOptions } from 'node:https';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestVerifier } from './verifier.ts';

/** A server-sent event as it came. */
export interface Event {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** A host's open event stream. */
export interface OpenStream {
  readonly events: readonly Event[];
  readonly ended: () => boolean;
  /** Waits until there are as many. */
  readonly until: (count: number) => Promise<readonly Event[]>;
  readonly close: () => void;
}

/** What opening a stream came to. */
export type Opened =
  | { readonly status: 200; readonly stream: OpenStream }
  | { readonly status: number; readonly problem: Record<string, unknown> };

/** Opens the event stream of a host with a client certificate. */
export function openEvents(
  verifier: TestVerifier,
  hostId: string,
  tls: AgentOptions,
  lastEventId?: string,
): Promise<Opened> {
  const ca = readFileSync(path.join(verifier.directory, 'certificates/tls-ca.pem'));
  const { port } = verifier.server.address;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        ...{ host: '127.0.0.1', port, ca, agent: false, ...tls, path: `/v1/hosts/${hostId}/events` },
        headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
      },
      (response) => {
        let text = '';
        let over = false;
        const events: Event[] = [];
        response.on('data', (part: Buffer) => {
          text += part.toString();
          if (response.statusCode !== 200) return;
          const parts = text.split('\n\n');
          text = parts.pop() ?? '';
          events.push(...parts.flatMap(parsed));
        });
        response.on('close', () => (over = true));
        response.on('error', () => (over = true));
        if (response.statusCode !== 200) {
          response.on('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              problem: JSON.parse(text) as Record<string, unknown>,
            });
          });
          return;
        }
        const until = async (count: number): Promise<readonly Event[]> => {
          while (events.length < count && !over) await sleep(5);
          return events;
        };
        const close = (): void => {
          request.destroy();
        };
        resolve({ status: 200, stream: { events, ended: () => over, until, close } });
      },
    );
    request.on('error', reject);
    request.end();
  });
}

/** An event; comments are none. */
function parsed(block: string): Event[] {
  const fields = new Map(
    block.split('\n').map((line): [string, string] => {
      const at = line.indexOf(':');
      return [line.slice(0, at), line.slice(at + 1).trimStart()];
    }),
  );
  const data = fields.get('data');
  if (data === undefined) return [];
  return [
    {
      id: fields.get('id'),
      event: fields.get('event') ?? 'message',
      data: JSON.parse(data) as Record<string, unknown>,
    },
  ];
}
