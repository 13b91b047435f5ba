import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';

/** A command file adds its commands to the program. */
export type Register = (program: Command, context: CommandContext) => void;

/** Commands of one file, by their first two words, and how they are loaded. */
export interface CommandFile {
  readonly commands: readonly string[];
  readonly load: () => Promise<Register>;
}

/** Every command, in the order of `sealgate --help`. */
export const COMMANDS: readonly CommandFile[] = [
  { commands: ['up'], load: async () => (await import('./up.ts')).registerUp },
  { commands: ['init'], load: async () => (await import('./init.ts')).registerInit },
  {
    commands: ['config schema', 'config show', 'config check'],
    load: async () => (await import('./config.ts')).registerConfig,
  },
  { commands: ['serve'], load: async () => (await import('./serve.ts')).registerServe },
  { commands: ['agent'], load: async () => (await import('./agent.ts')).registerAgent },
  { commands: ['run'], load: async () => (await import('./run.ts')).registerRun },
  {
    commands: ['operator add', 'operator ls', 'operator revoke'],
    load: async () => (await import('./operator.ts')).registerOperator,
  },
  { commands: ['host invite'], load: async () => (await import('./host-invite.ts')).registerHostInvite },
  {
    commands: ['host uninvite'],
    load: async () => (await import('./host-uninvite.ts')).registerHostUninvite,
  },
  {
    commands: ['host ls', 'host show', 'host invites'],
    load: async () => (await import('./host-list.ts')).registerHostList,
  },
  {
    commands: ['host approve', 'host label', 'host quarantine', 'host restore', 'host revoke'],
    load: async () => (await import('./host-change.ts')).registerHostChange,
  },
  { commands: ['host enroll'], load: async () => (await import('./host-enroll.ts')).registerHostEnroll },
  { commands: ['host check'], load: async () => (await import('./host-check.ts')).registerHostCheck },
  { commands: ['host attest'], load: async () => (await import('./host-attest.ts')).registerHostAttest },
  {
    commands: ['artifact digest', 'artifact sign', 'artifact verify'],
    load: async () => (await import('./artifact.ts')).registerArtifact,
  },
  { commands: ['verify proof'], load: async () => (await import('./verify-proof.ts')).registerVerifyProof },
  {
    commands: ['inspect public', 'inspect quote'],
    load: async () => (await import('./inspect-tpm.ts')).registerInspectTpm,
  },
  {
    commands: ['inspect ekcert'],
    load: async () => (await import('./inspect-ekcert.ts')).registerInspectEkCert,
  },
  {
    commands: ['inspect eventlog'],
    load: async () => (await import('./inspect-eventlog.ts')).registerInspectEventlog,
  },
  { commands: ['inspect ima'], load: async () => (await import('./inspect-ima.ts')).registerInspectIma },
  { commands: ['tpm info', 'tpm pcrs', 'tpm ek'], load: async () => (await import('./tpm.ts')).registerTpm },
  {
    commands: ['evidence collect'],
    load: async () => (await import('./evidence-collect.ts')).registerEvidenceCollect,
  },
  {
    commands: ['trust add', 'trust ls', 'trust rm'],
    load: async () => (await import('./trust.ts')).registerTrust,
  },
  {
    commands: ['trust-bundle show', 'trust-bundle prepare', 'trust-bundle sign', 'trust-bundle publish'],
    load: async () => (await import('./trust-bundle.ts')).registerTrustBundle,
  },
  { commands: ['key ls', 'key rotate'], load: async () => (await import('./key.ts')).registerKey },
  { commands: ['verify quote'], load: async () => (await import('./verify-quote.ts')).registerVerifyQuote },
  {
    commands: ['verify evidence'],
    load: async () => (await import('./verify-evidence.ts')).registerVerifyEvidence,
  },
  {
    commands: ['verify authorization'],
    load: async () => (await import('./verify-authorization.ts')).registerVerifyAuthorization,
  },
  {
    commands: ['verify package'],
    load: async () => (await import('./verify-package.ts')).registerVerifyPackage,
  },
  { commands: ['policy learn'], load: async () => (await import('./policy-learn.ts')).registerPolicyLearn },
  {
    commands: ['policy init', 'policy build', 'policy sign', 'policy schema'],
    load: async () => (await import('./policy-bundle.ts')).registerPolicyBundle,
  },
  {
    commands: ['policy show', 'policy diff', 'policy test'],
    load: async () => (await import('./policy-examine.ts')).registerPolicyExamine,
  },
  {
    commands: ['policy simulate'],
    load: async () => (await import('./policy-simulate.ts')).registerPolicySimulate,
  },
  {
    commands: ['policy stage', 'policy publish'],
    load: async () => (await import('./policy-publish.ts')).registerPolicyPublish,
  },
  {
    commands: ['secret put', 'secret rotate', 'secret ls', 'secret rm'],
    load: async () => (await import('./secret.ts')).registerSecret,
  },
  { commands: ['exec ls', 'exec show'], load: async () => (await import('./exec.ts')).registerExec },
  { commands: ['revoke', 'exec revoke'], load: async () => (await import('./revoke.ts')).registerRevoke },
  { commands: ['exec lineage'], load: async () => (await import('./exec-lineage.ts')).registerExecLineage },
  { commands: ['exec export'], load: async () => (await import('./exec-export.ts')).registerExecExport },
  { commands: ['store check'], load: async () => (await import('./store-check.ts')).registerStoreCheck },
  { commands: ['store backup'], load: async () => (await import('./store-backup.ts')).registerStoreBackup },
  {
    commands: ['store restore'],
    load: async () => (await import('./store-restore.ts')).registerStoreRestore,
  },
  {
    commands: ['store rebuild-lineage'],
    load: async () => (await import('./store-rebuild.ts')).registerStoreRebuild,
  },
  { commands: ['audit verify'], load: async () => (await import('./audit-verify.ts')).registerAuditVerify },
  { commands: ['audit prove'], load: async () => (await import('./audit-prove.ts')).registerAuditProve },
  { commands: ['audit tail'], load: async () => (await import('./audit-tail.ts')).registerAuditTail },
  { commands: ['audit export'], load: async () => (await import('./audit-export.ts')).registerAuditExport },
  {
    commands: ['audit monitor'],
    load: async () => (await import('./audit-monitor.ts')).registerAuditMonitor,
  },
];

/**
 * The files that a command line needs: of the command that its first words name, else of its group, else all; none for
 * the version. Loading every command takes longer than most of them run.
 */
export function commandFiles(argv: readonly string[]): readonly CommandFile[] {
  const [first = '', second = ''] = argv;
  if (first === '--version' || first === '-V') return [];
  const named = COMMANDS.filter(({ commands }) =>
    commands.some((one) => one === first || one === `${first} ${second}`),
  );
  if (named.length > 0) return named;
  const grouped = COMMANDS.filter(({ commands }) => commands.some((one) => one.startsWith(`${first} `)));
  return grouped.length > 0 ? grouped : COMMANDS;
}
