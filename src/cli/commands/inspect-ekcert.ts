import { Option } from 'commander';
import type { Command } from 'commander';
import { LIMITS, Refusal, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import {
  defaultRole,
  ekProfile,
  parseCertificate,
  parseEkCertificate,
  readTpmIdentity,
  readTpmSpecification,
  sameName,
  trustFor,
  verifyPath,
} from '../../x509/index.ts';
import type { Certificate, EkFindings, PathQuirk } from '../../x509/index.ts';
import { certificateJson, chainJson } from '../certificate-json.ts';
import { readCertificateFile, readCertificates } from '../certificate-files.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { factRows, paint, printJson, table } from '../output.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { shippedRoots } from '../shipped-roots.ts';
import { defaultTrustFile, readTrustFile } from '../trust-file.ts';
import { group } from './group.ts';

interface EkCertOptions {
  readonly roots?: readonly string[];
  readonly chain?: readonly string[];
  readonly partialChain?: boolean;
  readonly at?: string;
  readonly quirk?: readonly PathQuirk[];
  readonly strict?: boolean;
  readonly trustFile?: string;
}

/** What was found out, as far as it got. */
interface Answer {
  readonly members: JsonObject;
  readonly refusal: Refusal | undefined;
}

/** `sealgate inspect ekcert`: explains an EK certificate, and validates its path when there are roots. */
export function registerInspectEkCert(program: Command, context: CommandContext): void {
  group(program, 'inspect', 'explain a file offline')
    .command('ekcert <file>')
    .description(
      'an EK certificate (PEM, DER or the content of its NV index): fields, profile, path to the roots',
    )
    .option(
      '--roots <files...>',
      'trust these roots in place of the trust file; not self-signed ones only help to build the path',
    )
    .option('--partial-chain', 'let the path end at any certificate of --roots')
    .option('--chain <files...>', 'intermediate certificates, not trusted')
    .option('--at <time>', 'judge dates as of this time, like 2026-11-22T20:00:00Z')
    .addOption(
      new Option('--quirk <names...>', 'accept a named weakness of the path').choices(['sha1-signature']),
    )
    .option('--strict', 'refuse when there is no root to check against')
    .option('--trust-file <file>', 'where the roots are kept (see: sealgate trust)')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate inspect ekcert ek.crt --roots manufacturer-root.pem --chain intermediate.pem\n',
    )
    .action((file: string, options: EkCertOptions) => {
      show(context, inspect(file, options));
    });
}

function inspect(file: string, options: EkCertOptions): Answer {
  const now = timeOf(options.at);
  const { encoding, certificates } = readCertificateFile(file, LIMITS.chainLength);
  const [first = new Uint8Array(), ...sent] = certificates;
  const leaf = parseEkCertificate(first);
  const intermediates = [
    ...sent.map((der) => parseCertificate(der)),
    ...readCertificates(options.chain ?? []),
  ];
  const { anchors, pool } = trustOf(options);
  const explained = { encoding, certificate: certificateJson(leaf), ...tpmJson(leaf) };
  const nothing = { ...explained, templates: null, quirks: null, chain: null };
  try {
    if (anchors.length === 0 && options.roots === undefined && options.strict !== true) {
      const findings = ekProfile().check(leaf, likelyIssuers(leaf, intermediates));
      return {
        members: { ...explained, ...findingsJson(findings), chain: null, unchecked: ['path', 'revocation'] },
        refusal: undefined,
      };
    }
    const path = verifyPath({
      leaf,
      intermediates,
      pool,
      anchors,
      now,
      profile: ekProfile(),
      quirks: options.quirk ?? [],
    });
    const { findings, chain, quirks } = path;
    const members = {
      ...explained,
      ...findingsJson(findings, quirks),
      chain: chainJson(chain),
      unchecked: ['revocation'],
    };
    return { members, refusal: undefined };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { members: { ...nothing, unchecked: [] }, refusal: error };
  }
}

/** Roots of the command line replace the trust file: what is asked about is then all there is. */
function trustOf(options: EkCertOptions): { anchors: readonly Certificate[]; pool: readonly Certificate[] } {
  if (options.roots === undefined)
    return trustFor(readTrustFile(options.trustFile ?? defaultTrustFile()), 'ek');
  const given = readCertificates(options.roots);
  const ends = (certificate: Certificate): boolean =>
    options.partialChain === true || defaultRole(certificate) === 'anchor';
  const anchors = given.filter(ends);
  if (anchors.length === 0)
    refuse(
      'x509-no-anchors',
      'none of the given roots is self-signed; --partial-chain would end the path at them',
    );
  return { anchors, pool: given.filter((certificate) => !ends(certificate)) };
}

/** Without roots nothing is verified; the issuer, if it is at hand, still tells which quirks could apply. */
function likelyIssuers(leaf: Certificate, intermediates: readonly Certificate[]): readonly Certificate[] {
  return [...intermediates, ...shippedRoots().map(({ certificate }) => certificate)].filter((certificate) =>
    sameName(certificate.subject, leaf.issuer),
  );
}

function tpmJson(leaf: Certificate): {
  tpm: JsonObject | null;
  specification: JsonObject | null;
  vendor: string | null;
} {
  const optional = <T>(read: () => T | undefined): T | null => {
    try {
      return read() ?? null;
    } catch (error) {
      // Malformed attributes are refused by the profile, which says why.
      if (error instanceof Refusal) return null;
      throw error;
    }
  };
  const tpm = optional(() => readTpmIdentity(leaf));
  const specification = optional(() => readTpmSpecification(leaf));
  const vendor =
    shippedRoots().find(({ certificate }) => sameName(certificate.subject, leaf.issuer))?.vendor ?? null;
  return {
    tpm: tpm === null ? null : { ...tpm, vendorId: tpm.vendorId ?? null },
    specification: specification === null ? null : { ...specification },
    vendor,
  };
}

function findingsJson({ templates, quirks }: EkFindings, pathQuirks: readonly PathQuirk[] = []): JsonObject {
  return { templates, quirks: [...quirks, ...pathQuirks] };
}

function timeOf(text: string | undefined): number {
  const time = text === undefined ? systemClock.now() : Date.parse(text);
  if (Number.isNaN(time)) throw new UsageError(`not a time: ${text ?? ''}`);
  return time;
}

function show(context: CommandContext, { members, refusal }: Answer): void {
  const { io, json } = context;
  if (refusal !== undefined) context.exit(1);
  if (json) {
    if (refusal === undefined) printJson(io, { ok: true, denial: null, ...members });
    else printDenial(toDenial(refusal), io, true, members);
    return;
  }
  io.stdout(table(factRows(members)));
  if (refusal !== undefined) printDenial(toDenial(refusal), io, false);
  else if (members['chain'] === null)
    io.stdout(`${paint(io, 'yellow', 'path not checked: no roots')} (sealgate trust add, or --roots)\n`);
  else io.stdout(`${paint(io, 'green', 'EK certificate of a trusted root')}\n`);
}
