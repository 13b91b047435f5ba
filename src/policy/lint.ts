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

function lintPlatform({ name, runtime, gatewayMeasured, references, sealed, quirks }: Platform): string[] {
  const at = `platforms.${name}`;
  const { ima, eventLog, gateway } = references;
  const sealedPcrs = new Set(sealed.flatMap(({ pcrs }) => pcrs));
  return [
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
    ...(ima?.coverage.lockdown === 'none' ? [`${at}: no lockdown: root can change the kernel`] : []),
    ...(gateway !== undefined && Object.values(gateway.files).some((digest) => /^0{64}$/.test(digest))
      ? [`${at}: gateway.files has a digest that no file has: learn the references of a real host`]
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
