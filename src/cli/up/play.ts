import { printable } from '../output.ts';
import type { Io } from '../output.ts';
import { ATTACKS, demonstrate } from './denials.ts';
import { runDelegated } from './delegated-run.ts';
import { runGoverned } from './governed-run.ts';
import { TRUST_DOMAIN } from './playground-files.ts';
import { Playground } from './playground.ts';
import { UpReport } from './report.ts';

export interface PlayOptions {
  readonly json: boolean;
  /** Leave everything running until SIGINT or SIGTERM. */
  readonly keep: boolean;
}

/**
 * The whole main job on one machine, and what is refused.
 * @returns the steps that came out otherwise than they must
 */
export async function playThrough(io: Io, { json, keep }: PlayOptions): Promise<readonly string[]> {
  const report = new UpReport(io, json);
  report.heading('Setting up');
  const playground = await Playground.make();
  try {
    await setUp(playground, report);
    report.heading('The main job');
    await mainJob(playground, report);
    report.heading('What must be refused');
    for (const attack of ATTACKS) await demonstrate(attack, playground, report);
    farewell(playground, report, keep);
    if (keep) await untilStopped();
    return report.unexpected;
  } finally {
    await playground.stop();
  }
}

async function setUp(playground: Playground, report: UpReport): Promise<void> {
  const { files, swtpm, pins } = playground;
  const events = await playground.boot();
  report.done(
    'tpm',
    [
      `an emulated TPM (${swtpm.tcti}) with a certified endorsement key`,
      `a recorded secure boot of Debian 12 was extended into it: ${String(events)} events`,
      'this machine has no IMA: the platform is "runtime: unmeasured", and every result says so',
    ],
    'PCRs hold what really booted a machine once.',
  );
  const learned = await playground.learn();
  report.done(
    'reference-values',
    learned.slice(0, 6),
    'what this boot is compared with was learned, not written by hand.',
  );
  await playground.startVerifier();
  report.done(
    'verifier',
    [
      `sealgate serve, process ${String(playground.verifierPid)}, ${pins.url}`,
      `trust domain ${TRUST_DOMAIN}, CA fingerprint ${pins.caFingerprint.slice(0, 16)}…`,
    ],
    'its keys, store and log are in a process of their own; everybody else speaks to it over HTTPS.',
  );
  const policyHash = await playground.publish();
  report.done(
    'policy',
    [`policyHash ${policyHash}`, `signed by the policy authority in ${files.verifier}/offline`],
    'a policy decides only after its authorities signed it.',
  );
  await playground.storeSecret();
  report.done(
    'secret',
    ['database-password, version 1, encrypted at rest'],
    'policy names it, nobody sees it.',
  );
}

async function mainJob(playground: Playground, report: UpReport): Promise<void> {
  const hostId = await playground.enroll();
  report.done(
    'enrolled-host',
    [`hostId ${hostId}`, 'join token, EK certificate, credential activation, quote, inclusion proof'],
    'this key is in the TPM with that endorsement key, and no other TPM can speak for the host.',
  );
  const digest = await playground.sign();
  report.done('signed-artifact', [digest], 'what runs was signed by somebody whom policy trusts.');
  const run = await runGoverned(playground);
  report.done(
    'governed-run',
    [
      `execution ${run.executionId}, leaf ${run.auditIndex} of the audit log`,
      ...(run.isolated ? [] : ['without namespaces: this machine does not allow them; the decision says so']),
      ...run.output.map((line) => `| ${line}`),
    ],
    'quote, boot log, artifact, initiator and policy held; the log has it; the TPM opened the credentials once.',
  );
  const { parent, childId, output } = await runDelegated(playground);
  report.done(
    'delegated-run',
    [
      `execution ${parent.executionId} started ${childId}: scope figures.eu of its figures.*, one credential of its two`,
      ...output.map((line) => `| ${line}`),
    ],
    'what runs starts others by a socket of its own; each is attested anew, has less, and ends with what started it.',
  );
}

function farewell({ files, pins }: Playground, report: UpReport, keep: boolean): void {
  report.heading(
    `${report.unexpected.length === 0 ? 'Every proof held and every attack was refused' : 'Something came out wrong'}, in ${report.seconds.toFixed(1)} s.`,
  );
  if (!keep) {
    report.line(
      'Where to look next: README.md, docs/PROTOCOL.md, docs/THREAT_MODEL.md; `sealgate up --keep` leaves it running.',
    );
    return;
  }
  report.line(`verifier ${pins.url}, profile ${printable(files.profile)}`);
  report.line(`  sealgate host ls --profile ${printable(files.profile)}`);
  report.line(`  sealgate audit tail --profile ${printable(files.profile)}`);
  report.line('Ctrl-C stops it and removes everything.');
}

function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        resolve();
      });
  });
}
