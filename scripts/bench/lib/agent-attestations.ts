/**
 * The host's half of scripts/bench/agent, in a process of its own: attests again and again, and says in one line of JSON
 * where the time went. Arguments: state directory, rounds.
 */
import { attestHost, openHost, systemClock } from '../../../src/agent/index.ts';

/** Milliseconds of one attestation. */
export interface AttestationTimes {
  readonly total: number;
  /** Requests to the verifier: challenge and attestation. */
  readonly requests: number;
  /** Commands to the TPM: sessions salted to the EK, quote, PCR values. */
  readonly tpm: number;
}

const [, , state = '', rounds = '20'] = process.argv;
await using host = await openHost({ state });
let spent = { requests: 0, tpm: 0 };

/** Adds the time of an asynchronous call to one of the sums. */
function timed<A extends readonly unknown[], R>(
  part: 'requests' | 'tpm',
  call: (...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  return async (...args) => {
    const begin = performance.now();
    try {
      return await call(...args);
    } finally {
      spent[part] += performance.now() - begin;
    }
  };
}

const { client } = host;
client.request = timed('requests', client.request.bind(client));
host.quoteNow = timed('tpm', host.quoteNow.bind(host));
host.releaseSession = timed('tpm', host.releaseSession.bind(host));

const times: AttestationTimes[] = [];
for (let i = 0; i < Number(rounds); i++) {
  spent = { requests: 0, tpm: 0 };
  const begin = performance.now();
  await attestHost(host, [], systemClock);
  times.push({ total: performance.now() - begin, ...spent });
}
process.stdout.write(`${JSON.stringify(times)}\n`);
