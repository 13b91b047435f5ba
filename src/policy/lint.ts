import { lintImaRules } from '../evidence/index.ts';
import type { PolicyBundle, Platform } from './bundle.ts';

/** Lifetimes of validity that somebody should look at, in days. */
const LONG_VALIDITY_DAYS = 400;
const DAY = 86_400_000;

/** What is allowed and probably not meant: every exclude, tolerance, bearer token, unmeasured runtime, wide window. */
export function lintBundle(bundle: PolicyBundle): readonly string[] {
  const { document, platforms, validity, issuers } = bundle;
  const days = Math.round((validity.notAfter - validity.notBefore) / DAY);
  return [
    ...[...platforms.values()].flatMap(lintPlatform),
    ...lintCredentials(bundle),
    ...lintDelegation(bundle),
    ...issuers.flatMap(({ issuer, bearer }) =>
      bearer ? [`initiators: ${issuer} may send bearer tokens: who sees one can use it once`] : [],
    ),
    ...document.execution.loaderVariables.map(
      (name) => `execution.loaderVariables: ${name} lets a request choose code that nobody signed`,
    ),
    ...(days > LONG_VALIDITY_DAYS
      ? [`validity: ${String(days)} days: a stolen old policy stays valid that long`]
      : []),
  ];
}

/** What references may ask of an event log, and the PCRs of systemd-stub and shim that it is measured into. */
const LATE_PCRS = [
  { member: 'unifiedKernelImage', pcrs: [11] },
  { member: 'stubParameters', pcrs: [12] },
  { member: 'systemExtensions', pcrs: [13] },
  { member: 'mok', pcrs: [14] },
] as const;

/** References that speak of PCRs which no quote of the platform has. */
function lintSelection({ name, quoted, references: { eventLog } }: Platform): string[] {
  if (eventLog === undefined) return [];
  const missing = (pcrs: readonly number[]): readonly number[] =>
    pcrs.filter((pcr) => !quoted.some((selection) => selection.pcrs.includes(pcr)));
  const stub = missing([11, 12]);
  return [
    ...LATE_PCRS.filter(({ member }) => eventLog[member] !== undefined).flatMap(({ member, pcrs }) =>
      missing(pcrs).map(
        (pcr) =>
          `platforms.${name}: ${member} is asked for and PCR ${String(pcr)} is not quoted: all hosts fail`,
      ),
    ),
    // Whoever sends the log can leave the stub's events out; only the quoted values show that it ran.
    ...(eventLog.commandLine !== undefined && stub.length > 0
      ? [
          `platforms.${name}: PCR ${stub.join(' and ')} not quoted: a unified kernel image that the boot loader starts ` +
            'could bring another command line than the one that is judged',
        ]
      : []),
  ];
}

function lintPlatform(platform: Platform): string[] {
  const { name, runtime, gatewayMeasured, references, sealed, quirks } = platform;
  const at = `platforms.${name}`;
  const { ima, eventLog, gateway } = references;
  const sealedPcrs = new Set(sealed.flatMap(({ pcrs }) => pcrs));
  return [
    ...lintSelection(platform),
    ...(runtime === 'unmeasured'
      ? [`${at}: the runtime is unmeasured: only the boot is proved, not what runs after it`]
      : []),
    ...(runtime === 'measured' && !gatewayMeasured
      ? [`${at}: the gateway is not required to be measured: it could be any program`]
      : []),
    ...(references.platform === name ? [] : [`${at}: the references are of platform ${references.platform}`]),
    ...(eventLog === undefined ? [`${at}: nothing is asked of the boot’s event log`] : []),
    ...(eventLog !== undefined && eventLog.secureBoot === undefined
      ? [`${at}: secure boot is not asked for`]
      : []),
    ...(sealedPcrs.has(7)
      ? []
      : [`${at}: PCR 7 is not sealed: a release opens under other secure boot keys`]),
    ...[...quirks].map((quirk) => `${at}: tolerates ${quirk}`),
    ...(ima === undefined
      ? []
      : lintImaRules(ima.rules).map(({ member, message }) => `${at}: ima.rules.${member}: ${message}`)),
    ...(ima?.coverage.policyFiles.flatMap(({ exempt }) =>
      exempt.map((what) => `${at}: the kernel’s policy exempts ${what}: code there runs unmeasured`),
    ) ?? []),
    ...(ima !== undefined &&
    ima.coverage.builtInPolicies === undefined &&
    ima.coverage.policyFiles.length === 0
      ? [`${at}: no IMA policy is asked for: the kernel may have measured nothing that matters`]
      : []),
    ...(ima?.coverage.lockdown === 'none' ? [`${at}: no lockdown: root can change the kernel`] : []),
    ...(gateway !== undefined && Object.values(gateway.files).some((digest) => /^0{64}$/.test(digest))
      ? [`${at}: gateway.files has a digest that no file has: learn the references of a real host`]
      : []),
  ];
}

/** More executions than anybody looks through. */
const MANY_CHILDREN = 1000;

function lintDelegation({ document }: PolicyBundle): string[] {
  const { maxDepth, maxChildren } = document.delegation;
  if (maxDepth === 0 && maxChildren === 0) return [];
  const told = JSON.stringify(document.cedar.policies);
  return [
    ...(maxDepth === 0 ? ['delegation.maxDepth: 0, so maxChildren allows nothing'] : []),
    ...(maxChildren === 0 ? ['delegation.maxChildren: 0, so maxDepth allows nothing'] : []),
    ...(maxChildren > MANY_CHILDREN
      ? [`delegation.maxChildren: ${String(maxChildren)}: one execution may start that many others`]
      : []),
    ...(maxDepth > 0 && maxChildren > 0 && !/"(?:parent|delegation)"/.test(told)
      ? [
          'delegation: no policy looks at context.parent or context.delegation: whatever may run may start whatever may run',
        ]
      : []),
  ];
}

function lintCredentials({ document }: PolicyBundle): string[] {
  const used = new Set(Object.values(document.credentials).flatMap(({ hosts }) => hosts));
  return [
    ...Object.entries(document.credentials).flatMap(([name, { hosts }]) =>
      hosts.length === 0 ? [`credentials.${name}: granted to no host set`] : [],
    ),
    ...Object.entries(document.hostSets).flatMap(([name, set]) => [
      ...((set.hosts ?? []).length === 0 && set.labels === undefined
        ? [`hostSets.${name}: is empty: nothing is released to it`]
        : []),
      ...(used.has(name) ? [] : [`hostSets.${name}: no credential names it`]),
    ]),
  ];
}
