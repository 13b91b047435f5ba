/**
 * Rounds of faults under load. In each one hosts ask for executions without a pause until the verifier is killed at a
 * random moment; then it starts again over the same store, and what was promised is held against what is there. In some
 * rounds its disk is full for a while before that, in others its clock was set forward and back (faults.ts).
 */
import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  parseCheckpoint,
  parseLeaf,
  parseLogProof,
  parseVkey,
  verifyCheckpoint,
  verifyConsistency,
  verifyLogProof,
} from '../../src/audit/index.ts';
import { makeOutcomeReport } from '../../src/authorization/index.ts';
import { fromBase64, fromBase64url, toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { VerifierRefusal, reportOutcome } from '../../src/client/index.ts';
import { BenchVerifier, TRUST_DOMAIN, textOf } from '../bench/lib/bench-verifier.ts';
import type { BenchHost } from '../bench/lib/bench-verifier.ts';
import { executionBody, newWorkload } from '../bench/lib/software-agent.ts';
import { FAULTS, clockWasAhead, fullDisk, openChallenge, timeGoesOn } from './faults.ts';
import type { Fault } from './faults.ts';

export interface FaultOrder {
  readonly rounds: number;
  /** Any text: the moments follow from it. */
  readonly seed: string;
  readonly onRound?: (round: FaultRound) => void;
}

export interface FaultRound {
  readonly round: number;
  readonly fault: Fault;
  /** Milliseconds of load before the kill. */
  readonly killedAfter: number;
  readonly answered: number;
  /** Requests that were under way: sent, never answered. */
  readonly unanswered: number;
  /** How many of those the log has: committed, and the answer was lost. */
  readonly committedUnanswered: number;
  /** Requests that were refused because nothing could be written. */
  readonly refused: number;
  readonly logSize: string;
}

/** A released answer: what must be in the log whatever happens after it. */
interface Released {
  readonly leaf: Uint8Array;
  readonly index: bigint;
  readonly proof: string;
}

interface Known {
  readonly size: bigint;
  readonly root: Uint8Array;
}

const pause = async (ms: number): Promise<void> => {
  await new Promise((resolve) => setTimeout(resolve, ms));
};

const HOSTS = 16;
const SHORTEST_MS = 150;
const SPREAD_MS = 1200;

/** Runs the rounds. @throws Error that names the round and the promise that was broken */
export async function runFaults({ rounds, seed, onRound }: FaultOrder): Promise<readonly FaultRound[]> {
  await using verifier = await BenchVerifier.start();
  const hosts = await verifier.enroll(HOSTS);
  const history = new History(verifier);
  const results: FaultRound[] = [];
  for (let round = 1; round <= rounds; round++) {
    const killedAfter = SHORTEST_MS + (draw(seed, round) % SPREAD_MS);
    const fault = FAULTS[(round - 1) % FAULTS.length] ?? 'kill';
    const load = new Load(hosts, verifier);
    await pause(killedAfter);
    try {
      if (fault === 'disk') await fullDisk(verifier, load);
      const before = fault === 'clock' ? await openChallenge(hosts) : undefined;
      await verifier.kill();
      await load.ended;
      if (before !== undefined) await clockWasAhead(verifier);
      await verifier.run();
      if (before !== undefined) await timeGoesOn(verifier, hosts, before);
      const committedUnanswered = await check(load, history, verifier);
      const { size } = await history.advance();
      const { released, unanswered, refused } = load;
      const result = {
        ...{ round, fault, killedAfter, answered: released.length, unanswered: unanswered.length },
        ...{ committedUnanswered, refused: refused.length, logSize: String(size) },
      };
      results.push(result);
      onRound?.(result);
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      throw new Error(`round ${String(round)} of seed ${seed}: ${what}`, { cause: error });
    }
  }
  for (const { client } of hosts) await client.close();
  return results;
}

/** The moments of a run follow from its seed, so that a failure can be repeated as far as timing can. */
function draw(seed: string, round: number): number {
  return createHash('sha256')
    .update(`${seed}#${String(round)}`)
    .digest()
    .readUInt32BE(0);
}

/** Hosts that ask without a pause, each one request after the other, until the verifier is gone. */
class Load {
  readonly released: Released[] = [];
  /** Bodies that were answered with a release. */
  readonly answered: { readonly host: BenchHost; readonly body: JsonObject }[] = [];
  readonly unanswered: { readonly host: BenchHost; readonly body: JsonObject }[] = [];
  /** Bodies that were refused because nothing could be written. */
  readonly refused: { readonly host: BenchHost; readonly body: JsonObject }[] = [];
  readonly ended: Promise<unknown>;

  constructor(hosts: readonly BenchHost[], verifier: BenchVerifier) {
    this.ended = Promise.all(hosts.map((host) => this.#ask(host, verifier)));
  }

  async #ask(host: BenchHost, verifier: BenchVerifier): Promise<void> {
    for (;;) {
      let body: JsonObject | undefined;
      try {
        const { json: challenge } = await host.client.request('POST', '/v1/challenges', {
          body: { v: 1, purpose: 'execution' },
        });
        const workload = newWorkload();
        const terms = {
          trustDomain: TRUST_DOMAIN,
          nonce: textOf(challenge, 'nonce'),
          policyHash: verifier.policyHash,
          logSize: '1',
          envelope: verifier.signer.envelope,
        };
        body = await executionBody(host.host, terms, workload);
        const { json } = await host.client.request('POST', '/v1/executions', { body });
        const leaf = fromBase64url(textOf(json, 'leaf'), 'leaf');
        this.released.push({ leaf, index: BigInt(parseLeaf(leaf).index), proof: textOf(json, 'proof') });
        this.answered.push({ host, body });
        const { request } = body;
        body = undefined;
        await reportEnd(host, textOf(request as JsonObject, 'executionId'), workload.privateKey);
      } catch (error) {
        if (error instanceof VerifierRefusal) {
          // Status indexes that were given out for what was never committed are given out again after a restart.
          const again = ['ledger-unavailable', 'state-moved'].includes(error.denial.check);
          if (!again) throw error;
          if (body !== undefined && error.denial.check === 'ledger-unavailable')
            this.refused.push({ host, body });
          await pause(20);
          continue;
        }
        if (body !== undefined) this.unanswered.push({ host, body });
        return;
      }
    }
  }
}

/** The host says that it ran to its end: without that, hosts come to their limit of executions. */
async function reportEnd({ client }: BenchHost, executionId: string, workload: KeyObject): Promise<void> {
  const report = { aud: TRUST_DOMAIN, executionId, event: 'ended', status: 0 } as const;
  await reportOutcome(client, executionId, 'ended', await makeOutcomeReport(report, workload));
}

/** What somebody who looks from outside remembers of the log. */
class History {
  readonly #verifier: BenchVerifier;
  readonly #known: Known[] = [];

  constructor(verifier: BenchVerifier) {
    this.#verifier = verifier;
  }

  /** Remembers a checkpoint that an answer carried. */
  remember(checkpoint: Known): void {
    if (!this.#known.some(({ size }) => size === checkpoint.size)) this.#known.push(checkpoint);
  }

  /** The log as it is now, after every checkpoint that was ever seen was found to be its past. */
  async advance(): Promise<Known> {
    const { operator } = this.#verifier;
    const now = this.#signed((await operator.request('GET', '/checkpoint')).text);
    for (const { size, root } of [...this.#known]) {
      if (size > now.size) throw new Error(`the log lost entries: ${String(size)} to ${String(now.size)}`);
      // The log grows meanwhile, by executions that run out: each proof comes with the checkpoint that it leads to.
      const { json } = await operator.request('GET', `/v1/log/consistency?from=${String(size)}`);
      const newest = this.#signed(textOf(json, 'checkpoint'));
      const hashes = json['proof'];
      const proof = Array.isArray(hashes) ? hashes.map((hash) => fromBase64(String(hash), 'proof')) : [];
      verifyConsistency({ oldSize: size, oldRoot: root, size: newest.size, root: newest.root, proof });
      this.remember(newest);
    }
    this.remember(now);
    return now;
  }

  /** A checkpoint that the log's key signed. */
  #signed(text: string): Known {
    const parsed = parseCheckpoint(utf8(text));
    verifyCheckpoint(parsed, [parseVkey(this.#verifier.logKey)]);
    return { size: parsed.claimed.size, root: parsed.claimed.root };
  }
}

/** @returns how many unanswered requests the log has */
async function check(load: Load, history: History, verifier: BenchVerifier): Promise<number> {
  for (const { leaf, index, proof } of load.released) {
    // Every released answer's leaf is in the log, where it said.
    const { json } = await verifier.operator.request('GET', `/v1/log/entries/${String(index)}`);
    if (textOf(json, 'leaf') !== Buffer.from(leaf).toString('utf8'))
      throw new Error(`leaf ${String(index)} is another one than was answered`);
    const parsed = parseLogProof(utf8(proof));
    const leafHash = createHash('sha256').update(Uint8Array.of(0)).update(leaf).digest();
    verifyLogProof(parsed, { logKeys: [parseVkey(verifier.logKey)], leafHash: new Uint8Array(leafHash) });
    history.remember({ size: parsed.claimed.size, root: parsed.claimed.root });
  }
  const last = load.answered.at(-1);
  if (last !== undefined && (await again(last)) === 'released')
    throw new Error('an answered request was answered once more');
  let committed = 0;
  for (const one of load.unanswered) {
    // Either it was decided, then its nonce is spent; or it was not, then it is decided now, once.
    if ((await again(one)) === 'refused') committed++;
    if ((await again(one)) === 'released') throw new Error('a nonce worked twice');
  }
  // Refused, so nothing of it is in the log: its nonce may work now, or be too old, but never twice.
  for (const one of load.refused.slice(-5)) {
    await again(one);
    if ((await again(one)) === 'released') throw new Error('a nonce worked twice');
  }
  return committed;
}

async function again({ host, body }: Load['answered'][number]): Promise<'released' | 'refused' | 'late'> {
  try {
    await host.client.request('POST', '/v1/executions', { body });
    return 'released';
  } catch (error) {
    // Counters are compared before the once-only ids: an older quote is refused by either.
    const known = ['replay-nonce', 'replay-execution', 'quote-overtaken', 'e17', 'state-moved'];
    // The clock went ahead meanwhile: too late is no answer to whether it was decided.
    if (error instanceof VerifierRefusal && error.denial.check === 'nonce-expired') return 'late';
    if (error instanceof VerifierRefusal && known.includes(error.denial.check)) return 'refused';
    throw error;
  }
}

/** A seed for a run that nobody gave one. */
export const newSeed = (random: Uint8Array): string => toBase64url(random);
