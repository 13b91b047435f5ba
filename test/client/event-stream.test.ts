import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readEvents } from '../../src/client/event-stream.ts';
import type { ServerEvent } from '../../src/client/event-stream.ts';
import { expectRejection } from '../support/refusals.ts';

/** What a client reads of these parts, each sent by itself. */
async function read(
  parts: readonly (string | Buffer)[],
  end: boolean,
  idleMs = 5000,
): Promise<ServerEvent[]> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const send = async (): Promise<void> => {
      for (const part of parts) {
        response.write(part);
        await sleep(0);
      }
      if (end) response.end();
    };
    void send();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const [response] = (await once(get({ port, agent: false }), 'response')) as [IncomingMessage];
    const events: ServerEvent[] = [];
    for await (const event of readEvents(response, idleMs)) events.push(event);
    return events;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const STREAM =
  ': hello\n\nid: 7\nevent: revoked\ndata: {"a":\ndata: "ü"}\n\nretry: 5\n\r\nevent: attest\r\ndata:x\r\n\r\nid: 9\n\ndata';

describe('server-sent events', () => {
  it('are read from any parts; comments, other fields and what has no data are none', async () => {
    const bytes = Buffer.from(STREAM);
    const expected = [
      { id: '7', event: 'revoked', data: '{"a":\n"ü"}' },
      { id: undefined, event: 'attest', data: 'x' },
    ];
    expect(await read([bytes], true)).toEqual(expected);
    expect(
      await read(
        [...bytes].map((byte) => Buffer.from([byte])),
        true,
      ),
    ).toEqual(expected);
  });

  it('that are too large are refused, in one line or in many', async () => {
    await expectRejection('verifier-answer', read(['data: ', 'x'.repeat(300_000)], true));
    const line = `data: ${'x'.repeat(1000)}\n`;
    await expectRejection('verifier-answer', read(Array<string>(300).fill(line), true));
  });

  it('of a verifier that fell silent end with a refusal, and a comment is no silence', async () => {
    await expectRejection('verifier-unreachable', read([': one\n\n'], false, 300));
    expect(await read([': one\n\n'], true, 300)).toEqual([]);
  });
});
