import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { Refusal } from '../base/index.ts';
import type { DenialTally } from './denial-tally.ts';
import { AdminProblem, problemOf } from './problem.ts';

/**
 * Answers what HTTP's own parser refused, before there is a request and a route: bytes that are no HTTP, headers over
 * the limit, a request that didn't come in time. It is the same problem document as everywhere, and counted the same.
 */
export function clientErrorAnswer(denials: DenialTally): (error: Error, socket: Socket) => void {
  return (error, socket) => {
    const code = 'code' in error ? error.code : undefined;
    if (code === 'ECONNRESET' || socket.destroyed) return;
    const { status, body, ...problem } = problemOf(cause(code), randomUUID());
    denials.count({ status, body, ...problem });
    if (socket.writable) socket.write(response(status, JSON.stringify(body)));
    // Where one request ends and the next begins is no longer known.
    socket.destroy();
  };
}

function cause(code: unknown): Error {
  if (code === 'HPE_HEADER_OVERFLOW') return new AdminProblem('too-large', 'the headers are over the limit');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new Refusal('malformed', 'the request was not complete in time');
  return new Refusal('malformed', 'this is not an HTTP request');
}

const response = (status: number, body: string): string =>
  [
    `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${String(Buffer.byteLength(body))}`,
    'connection: close',
    `\r\n${body}`,
  ].join('\r\n');
