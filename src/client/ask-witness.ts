import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { rootCertificates } from 'node:tls';
import { Refusal, refuse } from '../base/index.ts';
import { readAnswer } from './answer.ts';
import type { VerifierAnswer } from './answer.ts';

/** How a witness is reached. */
export interface WitnessAddress {
  /** Submission prefix, `https://HOST[:PORT][/PATH]` (c2sp.org/tlog-policy). */
  readonly url: string;
  /** PEM of authorities besides the public ones. */
  readonly ca: readonly string[];
  /** Milliseconds for the whole request. */
  readonly timeoutMs: number;
}

/** Cosignatures of 64 witnesses come to far less. */
const MAX_REPLY = 128 * 1024;

/**
 * `POST <prefix>/add-checkpoint` (c2sp.org/tlog-witness). What comes back is worth something only by the witness's
 * signature, which the caller verifies; TLS keeps others from answering in its place. No redirects.
 * @throws Refusal `witness-answer` when there is no answer that one could read
 */
export async function askWitness(address: WitnessAddress, body: Uint8Array): Promise<VerifierAnswer> {
  const url = witnessUrl(address.url);
  try {
    return await readAnswer(await send(url, address, body), MAX_REPLY);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof Refusal && error.check === 'witness-answer') throw error;
    return refuse('witness-answer', `no answer from the witness: ${reason}`, { url: url.href });
  }
}

/** The address of `add-checkpoint`. @throws Refusal `witness-answer` for what isn't a submission prefix over HTTPS */
export function witnessUrl(prefix: string): URL {
  const url = URL.canParse(prefix) ? new URL(prefix) : undefined;
  if (url?.protocol !== 'https:' || url.username + url.password + url.search + url.hash !== '')
    return refuse('witness-answer', 'a witness is reached by https://HOST[:PORT][/PATH]', { url: prefix });
  url.pathname = `${url.pathname.replace(/\/$/, '')}/add-checkpoint`;
  return url;
}

function send(url: URL, { ca, timeoutMs }: WitnessAddress, body: Uint8Array): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      url,
      {
        method: 'POST',
        agent: false,
        minVersion: 'TLSv1.2',
        ca: [...rootCertificates, ...ca],
        signal: AbortSignal.timeout(timeoutMs),
        headers: { 'content-type': 'text/plain; charset=utf-8', 'content-length': body.length },
      },
      resolve,
    );
    request.on('error', reject);
    request.end(body);
  });
}
