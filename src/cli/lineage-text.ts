import { environmentText, inTreeOrder } from '../lineage/index.ts';
import type { ExecutionView } from '../lineage/index.ts';
import type { LineageReading } from './lineage-reader.ts';
import { rootOf } from './lineage-json.ts';
import { paint, printable } from './output.ts';
import type { Io } from './output.ts';

const STATE_COLOUR: Readonly<Record<string, 'green' | 'red' | 'yellow'>> = {
  running: 'green',
  ended: 'green',
  issued: 'yellow',
};

/** The answer for people: what was verified, then each execution below its parent. */
export function printLineage(io: Io, reading: LineageReading, detailed: boolean): void {
  const { checkpoint, entries, found, known, unchecked, next } = reading;
  const { origin, size } = checkpoint.claimed;
  io.stdout(
    `${paint(io, 'green', 'verified')}  ${String(entries.size)} entries of ${printable(origin)}, each proved in its ` +
      `checkpoint of ${String(size)}\n`,
  );
  if (unchecked.length > 0) io.stdout(`unchecked ${unchecked.join(', ')}\n`);
  for (const { view, depth } of inTreeOrder(found.map((one) => one.view))) {
    if (detailed && depth === 0) io.stdout(originLine(io, view, known));
    const margin = '  '.repeat(depth);
    const { artifact } = view.decision;
    const colour = STATE_COLOUR[view.state] ?? 'red';
    io.stdout(
      `${margin}${depth === 0 ? '' : '└─ '}${paint(io, 'bold', printable(artifact?.name ?? '-'))}  ` +
        `${view.executionId}  ${paint(io, colour, view.state)}  ${entry(io, view.decision.index)}\n`,
    );
    if (detailed) io.stdout(details(io, view, `${margin}   `));
  }
  if (next !== null) io.stdout(`more      --after ${String(next)}\n`);
}

const entry = (io: Io, index: string): string => paint(io, 'dim', `[entry ${index}]`);

function originLine(io: Io, view: ExecutionView, known: ReadonlyMap<string, ExecutionView>): string {
  const root = known.get(rootOf(view, known) ?? '') ?? view;
  const { initiator, hostId } = root.decision;
  const who =
    initiator === null
      ? `host ${hostId}`
      : `${printable(initiator.subject)}, vouched for by ${printable(initiator.issuer)}`;
  return `origin    ${who}  ${entry(io, root.decision.index)}\n`;
}

/** Everything that one hop rests on, a line each. */
function details(io: Io, view: ExecutionView, margin: string): string {
  const rows = [
    ...authorityRows(io, view),
    ...environmentRows(io, view),
    ...artifactRows(view),
    ...laterRows(io, view),
  ];
  return rows.map(([name, text]) => `${margin}${name.padEnd(13)} ${text}\n`).join('');
}

type Row = readonly [name: string, text: string];

/** Who authorized it, under which policy and authorities. */
function authorityRows(io: Io, { decision, publication }: ExecutionView): readonly Row[] {
  const { initiator, policy, digests, replica, time } = decision;
  const published = publication === null ? '' : `  published ${entry(io, publication.index)}`;
  return [
    ['allowed', `${time} by replica ${printable(replica)}, build ${idsOf(decision, 'build')}`],
    ['authorization', digests.authorization ?? '-'],
    ...(initiator === null
      ? []
      : [['initiator', `${printable(initiator.subject)} of ${printable(initiator.issuer)}`] as const]),
    ['policy', policy === null ? '-' : `version ${String(policy.version)}  ${policy.digest}${published}`],
    ['deciding', policy === null ? '-' : policy.deciding.map(printable).join(', ')],
    ['authorities', idsOf(decision, 'authority')],
  ];
}

/** In which environment: host, TPM, what it was compared with, and what was found. */
function environmentRows(io: Io, { decision, enrollment, appraised }: ExecutionView): readonly Row[] {
  const admitted =
    enrollment === null ? '' : `  ${printable(enrollment.name)} ${entry(io, enrollment.index)}`;
  const { resetCount, restartCount } = decision.boot;
  return [
    ['host', `${decision.hostId}${admitted}`],
    ['environment', foundText(appraised)],
    ['references', idsOf(decision, 'reference-values')],
    ['AK', `${decision.ak}, boot ${String(resetCount)}/${String(restartCount)}`],
    ['EK root', idsOf(decision, 'ek-root')],
    ...decision.digests.evidence.map(
      ({ name, sha256 }) => ['evidence', `${sha256} ${printable(name)}`] as const,
    ),
  ];
}

/** Tier and vector of an attestation result. */
function foundText(appraised: ExecutionView['appraised']): string {
  const vector = Object.entries(appraised?.vector ?? {}).map(
    ([name, value]) => `${name} ${JSON.stringify(value)}`,
  );
  return [environmentText(appraised), ...vector.map(printable)].join(', ');
}

function artifactRows({ decision }: ExecutionView): readonly Row[] {
  return [
    ['artifact', decision.artifact?.digest ?? '-'],
    ['signers', idsOf(decision, 'signer')],
  ];
}

/** What was said about it later. */
function laterRows(io: Io, { renewal, reappraised, outcomes, revocations }: ExecutionView): readonly Row[] {
  return [
    ...(renewal === null
      ? []
      : [['renewed', `${renewal.time}, ${foundText(reappraised)} ${entry(io, renewal.index)}`] as const]),
    ...outcomes.map(({ state, reportedBy, exit, index, time }) => {
      const how =
        exit === null ? '' : 'signal' in exit ? ` by ${exit.signal}` : ` with ${String(exit.status)}`;
      return [
        'outcome',
        `${state}${how}, ${time}, as the ${reportedBy} reports ${entry(io, index)}`,
      ] as const;
    }),
    ...revocations.map(({ subject, reason, index }) => {
      const what = `${subject.kind} ${printable(subject.id)}: ${printable(reason)}`;
      return ['revoked', `${paint(io, 'red', what)} ${entry(io, index)}`] as const;
    }),
  ];
}

function idsOf({ dependencies }: ExecutionView['decision'], wanted: string): string {
  const ids = dependencies.filter(({ kind }) => kind === wanted).map(({ id }) => printable(id));
  return ids.length === 0 ? 'none' : ids.join(', ');
}
