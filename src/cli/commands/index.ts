import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { registerAgent } from './agent.ts';
import { registerAuditExport } from './audit-export.ts';
import { registerAuditMonitor } from './audit-monitor.ts';
import { registerAuditProve } from './audit-prove.ts';
import { registerAuditTail } from './audit-tail.ts';
import { registerAuditVerify } from './audit-verify.ts';
import { registerExec } from './exec.ts';
import { registerExecExport } from './exec-export.ts';
import { registerExecLineage } from './exec-lineage.ts';
import { registerKey } from './key.ts';
import { registerOperator } from './operator.ts';
import { registerPolicyPublish } from './policy-publish.ts';
import { registerStoreCheck } from './store-check.ts';
import { registerStoreRebuild } from './store-rebuild.ts';
import { registerSecret } from './secret.ts';
import { registerArtifact } from './artifact.ts';
import { registerEvidenceCollect } from './evidence-collect.ts';
import { registerConfig } from './config.ts';
import { registerHostChange } from './host-change.ts';
import { registerHostInvite } from './host-invite.ts';
import { registerHostList } from './host-list.ts';
import { registerHostAttest } from './host-attest.ts';
import { registerHostCheck } from './host-check.ts';
import { registerHostEnroll } from './host-enroll.ts';
import { registerInit } from './init.ts';
import { registerInspectEkCert } from './inspect-ekcert.ts';
import { registerInspectEventlog } from './inspect-eventlog.ts';
import { registerInspectIma } from './inspect-ima.ts';
import { registerInspectTpm } from './inspect-tpm.ts';
import { registerPolicyBundle } from './policy-bundle.ts';
import { registerPolicyExamine } from './policy-examine.ts';
import { registerPolicyLearn } from './policy-learn.ts';
import { registerPolicySimulate } from './policy-simulate.ts';
import { registerTpm } from './tpm.ts';
import { registerRevoke } from './revoke.ts';
import { registerRun } from './run.ts';
import { registerServe } from './serve.ts';
import { registerTrust } from './trust.ts';
import { registerTrustBundle } from './trust-bundle.ts';
import { registerUp } from './up.ts';
import { registerVerifyAuthorization } from './verify-authorization.ts';
import { registerVerifyEvidence } from './verify-evidence.ts';
import { registerVerifyPackage } from './verify-package.ts';
import { registerVerifyProof } from './verify-proof.ts';
import { registerVerifyQuote } from './verify-quote.ts';

/** A command file adds its commands to the program. */
export type Register = (program: Command, context: CommandContext) => void;

/** Every command, in the order of `sealgate --help`. */
export const COMMANDS: readonly Register[] = [
  registerUp,
  registerInit,
  registerConfig,
  registerServe,
  registerAgent,
  registerRun,
  registerOperator,
  registerHostInvite,
  registerHostList,
  registerHostChange,
  registerHostEnroll,
  registerHostCheck,
  registerHostAttest,
  registerArtifact,
  registerVerifyProof,
  registerInspectTpm,
  registerInspectEkCert,
  registerInspectEventlog,
  registerInspectIma,
  registerTpm,
  registerEvidenceCollect,
  registerTrust,
  registerTrustBundle,
  registerKey,
  registerVerifyQuote,
  registerVerifyEvidence,
  registerVerifyAuthorization,
  registerVerifyPackage,
  registerPolicyLearn,
  registerPolicyBundle,
  registerPolicyExamine,
  registerPolicySimulate,
  registerPolicyPublish,
  registerSecret,
  registerExec,
  registerRevoke,
  registerExecLineage,
  registerExecExport,
  registerStoreCheck,
  registerStoreRebuild,
  registerAuditVerify,
  registerAuditProve,
  registerAuditTail,
  registerAuditExport,
  registerAuditMonitor,
];
