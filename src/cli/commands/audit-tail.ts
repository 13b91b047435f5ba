import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { parseLeaf, verifyCheckpoint } from '../../audit/index.ts';
import type { AuditLeaf, Checkpoint, VerifierKey } from '../../audit/index.ts';
import { Refusal, parseJsonObject, utf8 } from '../../base/index.ts';
import { VerifierRefusal, fetchCheckpoint, fetchEntry, followCheckpoint } from '../../client/index.ts';
import type { VerifierClient } from '../../client/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { UsageError } from '../errors.ts';
import { printable, safeJson } from '../output.ts';
import type { Io } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { logKeysOf } from '../remembered-checkpoint.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface TailOptions extends ProfileOptions {
  readonly lines: string;
  readonly follow?: boolean;
  readonly logKey?: string;
}

const POLL_MS = 1000;

/** `sealgate audit tail`: the newest entries, as they come. */
export function registerAuditTail(program: Command, context: CommandContext): void {
  const audit = group(program, 'audit', 'the audit log: verified, proved, followed');
  withProfileOptions(audit.command('tail').description('show the newest entries (needs the role audit)'))
    .option('-n, --lines <count>', 'how many', '10')
    .option('-f, --follow', 'go on with those that come')
    .option('--log-key <vkey>', 'the log’s public key (default: of the profile)')
    .addHelpText(
      'after',
      '\nWith --json one entry a line (NDJSON). Each checkpoint’s signature is verified, and with --follow that it ' +
        'continues the one before;\nwhether entries are those that were signed is what audit verify checks.\n' +
        '\nExample:\n  sealgate audit tail --follow --json | jq -c \'select(.kind == "decision")\'\n',
    )
    .action(async (options: TailOptions) => {
      if (!/^\d{1,5}$/.test(options.lines)) throw new UsageError('--lines: a number');
      try {
        await withVerifier(options, async (client, profile) => {
          await tail(client, logKeysOf(profile, options.logKey), options, context);
        });
      } catch (error) {
        // One document a line also for the last one.
        if (!context.json || !(error instanceof Refusal)) throw error;
        const denial = error instanceof VerifierRefusal ? error.denial : toDenial(error);
        context.io.stdout(`${JSON.stringify({ ok: false, denial })}\n`);
        context.exit(1);
      }
    });
}

async function tail(
  client: VerifierClient,
  keys: readonly VerifierKey[],
  { lines, follow }: TailOptions,
  { io, json }: CommandContext,
): Promise<void> {
  const first = await fetchCheckpoint(client);
  verifyCheckpoint(first, keys);
  let seen: Checkpoint = first.claimed;
  const wanted = BigInt(lines);
  await show(client, seen.size > wanted ? seen.size - wanted : 0n, seen.size, { io, json });
  while (follow === true) {
    await sleep(POLL_MS);
    const { claimed } = await followCheckpoint(client, keys, seen);
    await show(client, seen.size, claimed.size, { io, json });
    seen = claimed;
  }
}

async function show(
  client: VerifierClient,
  from: bigint,
  to: bigint,
  { io, json }: { readonly io: Io; readonly json: boolean },
): Promise<void> {
  for (let index = from; index < to; index++) {
    const text = await fetchEntry(client, index);
    const leaf = parseLeaf(utf8(text));
    // An entry is canonical JSON on one line.
    if (json) io.stdout(`${safeJson(parseJsonObject(utf8(text), 'entry', { maxBytes: 65_536 }))}\n`);
    else
      io.stdout(
        `${leaf.index.padStart(6)}  ${leaf.time}  ${leaf.kind.padEnd(14)}  ${printable(summary(leaf))}\n`,
      );
  }
}

/** What happened, in a line. */
function summary(leaf: AuditLeaf): string {
  switch (leaf.kind) {
    case 'opening':
      return leaf.origin;
    case 'decision': {
      const what = leaf.artifact === null ? leaf.purpose : `${leaf.purpose} of ${leaf.artifact.name}`;
      return `${leaf.outcome} ${what} on ${short(leaf.hostId)}${denied(leaf.denial)}`;
    }
    case 'enrollment':
      return `${leaf.outcome} ${leaf.name} (${short(leaf.hostId)})${denied(leaf.denial)}`;
    case 'transition':
      return `${short(leaf.hostId)} ${leaf.from} → ${leaf.to}: ${leaf.reason}`;
    case 'policy':
      return `${leaf.action} version ${String(leaf.version)} ${leaf.digest.slice(0, 23)}`;
    case 'revocation':
      return `${leaf.subject.kind} ${leaf.subject.id}: ${leaf.reason}`;
    case 'outcome':
      return `${leaf.executionId} ${leaf.state}, as the ${leaf.reportedBy} says`;
    case 'operator':
      return `${leaf.action} ${leaf.target}`;
    case 'refusal':
      return `${leaf.action}${denied(leaf.denial)}`;
    case 'denial-summary':
      return leaf.counts.map(({ check, count }) => `${check} ×${String(count)}`).join(', ');
  }
}

const short = (hostId: string): string => hostId.slice(0, 16);
const denied = (denial: { readonly check: string; readonly reason: string } | undefined): string =>
  denial === undefined ? '' : ` [${denial.check}] ${denial.reason}`;
