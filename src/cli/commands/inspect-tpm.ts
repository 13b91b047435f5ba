import type { Command } from 'commander';
import { toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import {
  Checks,
  akRuleViolations,
  encodePublic,
  hostId,
  isQuote,
  matchEkTemplate,
  objectName,
  parseAttest,
  parsePublic,
  parsePublicIn,
} from '../../tpm/index.ts';
import type { Attest, PublicArea } from '../../tpm/index.ts';
import { paint, printJson, printable, table } from '../output.ts';
import { isSized, readStructure } from '../quote-files.ts';
import type { CommandContext } from '../context.ts';
import { attestJson, publicJson, quoteJson } from '../tpm-json.ts';
import { group } from './group.ts';

/** `sealgate inspect public|quote`: what a structure says, without verifying that it is true. */
export function registerInspectTpm(program: Command, context: CommandContext): void {
  const inspect = group(program, 'inspect', 'explain a file offline');
  inspect
    .command('public <file>')
    .description(
      'a TPM2B_PUBLIC or TPMT_PUBLIC: its fields, name, EK template, and what rules h say of it as AK',
    )
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate inspect public ak.pub\n')
    .action((file: string) => {
      const bytes = readStructure(file, 'TPMT_PUBLIC');
      show(
        context,
        inspectPublic(isSized(bytes) ? parsePublicIn(bytes) : { area: parsePublic(bytes), bytes }),
      );
    });
  inspect
    .command('quote <file>')
    .description('a TPMS_ATTEST, of a quote or any other attestation')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate inspect quote quote.msg --json\n')
    .action((file: string) => {
      show(context, inspectAttest(parseAttest(readStructure(file, 'TPMS_ATTEST'))));
    });
}

function inspectPublic({ area, bytes }: { area: PublicArea; bytes: Uint8Array }): JsonObject {
  const violations = akRuleViolations(area);
  return {
    public: publicJson(area),
    name: toHex(objectName(bytes)),
    spkiSha256: spkiSha256(area),
    ekTemplate: matchEkTemplate(encodePublic(area))?.name ?? null,
    attestationKey: violations.length === 0,
    notAttestationKey: violations,
  };
}

/** Null for what holds no usable key: templates, other objects, points that aren't on their curve. */
function spkiSha256(area: PublicArea): string | null {
  return new Checks().run(() => hostId(area)) ?? null;
}

function inspectAttest(attest: Attest): JsonObject {
  const { attested } = attest;
  if (isQuote(attest)) return { type: 'quote', quote: quoteJson(attest) };
  const body = Object.entries(attested).map(([name, value]): [string, JsonObject[string]] => [
    name,
    value instanceof Uint8Array ? toHex(value) : plain(value),
  ]);
  return { type: attested.type, ...attestJson(attest), attested: Object.fromEntries(body) };
}

/** The remaining kinds of values in attestations: numbers, flags, and TPMS_TIME_INFO. */
function plain(value: unknown): JsonObject[string] {
  return JSON.parse(
    JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? member.toString() : member)),
  ) as JsonObject[string]; // what JSON.parse gives is JSON
}

function show({ io, json }: CommandContext, answer: JsonObject): void {
  if (json) {
    printJson(io, { ok: true, denial: null, ...answer });
    return;
  }
  io.stdout(table(rows(answer, '')));
  io.stdout(`${paint(io, 'yellow', 'nothing here is verified')}\n`);
}

function rows(value: JsonObject, indent: string): string[][] {
  return Object.entries(value).flatMap(([name, member]) => {
    if (typeof member !== 'object' || member === null || Array.isArray(member)) {
      return [[`${indent}${name}`, printable(typeof member === 'string' ? member : JSON.stringify(member))]];
    }
    return [[`${indent}${name}`, ''], ...rows(member as JsonObject, `${indent}  `)];
  });
}
