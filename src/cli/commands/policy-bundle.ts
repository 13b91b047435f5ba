import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { REFERENCES_JSON_SCHEMA } from '../../appraisal/index.ts';
import { parseDsse, parsePrivateKey } from '../../artifact/index.ts';
import { LIMITS, equalBytes } from '../../base/index.ts';
import {
  BUNDLE_LIMITS,
  MANIFEST_TYPE,
  POLICY_JSON_SCHEMA,
  buildBundle,
  bundleBytes,
  loadCedar,
  manifestBytes,
  manifestOf,
  parseBundle,
  signAsAuthority,
} from '../../policy/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { printJson, printable } from '../output.ts';
import { readSources, writeStarter } from '../policy-files.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

/** `sealgate policy init|build|sign|schema`: from a directory to a signed bundle. */
export function registerPolicyBundle(program: Command, context: CommandContext): void {
  const policy = group(program, 'policy', 'reference values and policy');
  registerInit(policy, context);
  registerBuild(policy, context);
  registerSign(policy, context);
  policy
    .command('schema')
    .description('JSON Schema of policy.yaml, or of reference values, for editors')
    .option('--references', 'that of reference values')
    .option('--json', 'one JSON document, as without it')
    .addHelpText('after', '\nExample:\n  sealgate policy schema > policy.schema.json\n')
    .action(({ references }: { references?: true }) => {
      printJson(context.io, references === true ? REFERENCES_JSON_SCHEMA : POLICY_JSON_SCHEMA);
    });
}

function registerInit(policy: Command, { io, json }: CommandContext): void {
  policy
    .command('init <directory>')
    .description('write a starter bundle that grants nothing and explains itself')
    .option('--trust-domain <domain>', 'the trust domain that the policy is for', 'example.org')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate policy init policy/ --trust-domain prod.example.org\n')
    .action((directory: string, { trustDomain }: { trustDomain: string }) => {
      if (!/^[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?$/.test(trustDomain))
        throw new UsageError('--trust-domain is a name like prod.example.org');
      const files = writeStarter(directory, trustDomain, systemClock);
      if (json) {
        printJson(io, { ok: true, denial: null, directory, files: [...files] });
        return;
      }
      io.stdout(`written to ${printable(directory)}: ${files.join(', ')}\n`);
      io.stdout(
        `begin with the comments in policy.yaml; then: sealgate policy test ${printable(directory)}\n`,
      );
    });
}

function registerBuild(policy: Command, { io, json }: CommandContext): void {
  policy
    .command('build <directory>')
    .description('build a directory to one canonical JSON, whose SHA-256 is the policyHash')
    .requiredOption('-o, --output <file>', 'where the bundle goes')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate policy build policy/ -o bundle.json\n')
    .action((directory: string, { output }: { output: string }) => {
      const { bundle, warnings } = buildBundle(readSources(directory), loadCedar);
      writeWhole(output, bundleBytes(bundle));
      if (json) {
        const { hash, version } = bundle;
        printJson(io, {
          ok: true,
          denial: null,
          output,
          policyHash: hash,
          version,
          warnings: [...warnings],
        });
        return;
      }
      io.stdout(`${bundle.hash}  version ${String(bundle.version)}  ${printable(output)}\n`);
      for (const warning of warnings) io.stdout(`  warning: ${printable(warning)}\n`);
    });
}

function registerSign(policy: Command, { io, json }: CommandContext): void {
  policy
    .command('sign <bundle>')
    .description('sign the manifest of a bundle as one of its authorities: BUNDLE.dsse.json')
    .requiredOption('--key <file>', 'private key: PEM (PKCS #8) or OpenSSH; Ed25519 or ECDSA P-256')
    .option('--output <file>', 'write there instead')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nEach authority signs in turn; the file collects the signatures. A file over another bundle is written anew.\n' +
        '\nExample:\n  sealgate policy sign bundle.json --key authority-1.pem\n',
    )
    .action((file: string, options: { key: string; output?: string }) => {
      const answer = signBundle(file, options);
      if (json) printJson(io, { ok: true, denial: null, ...answer });
      else
        io.stdout(
          `${printable(answer.output)}: ${String(answer.signatures)} signatures over ${answer.policyHash}\n`,
        );
    });
}

/** What was signed, and how many signatures the file has now. */
interface SignAnswer {
  readonly output: string;
  readonly policyHash: string;
  readonly version: number;
  readonly key: string;
  readonly signatures: number;
}

function signBundle(file: string, { key: keyFile, output }: { key: string; output?: string }): SignAnswer {
  const bundle = parseBundle(readInput(file, 'policy bundle', BUNDLE_LIMITS.maxBytes));
  const key = parsePrivateKey(readInput(keyFile, 'private key', 65_536));
  const target = output ?? `${path.resolve(file)}.dsse.json`;
  const payload = manifestBytes(manifestOf(bundle));
  const envelope = signAsAuthority(payload, MANIFEST_TYPE, key, sameManifest(target, payload));
  writeWhole(target, `${JSON.stringify(envelope)}\n`);
  return {
    output: target,
    policyHash: bundle.hash,
    version: bundle.version,
    key: key.publicKey.fingerprint,
    signatures: (envelope['signatures'] as readonly unknown[]).length,
  };
}

/** The envelope that is there, when it is over exactly this manifest: nobody's signature is carried to another one. */
function sameManifest(file: string, payload: Uint8Array) {
  if (!existsSync(file)) return undefined;
  const envelope = parseDsse(readInput(file, 'DSSE envelope', LIMITS.signature));
  return envelope.payloadType === MANIFEST_TYPE && equalBytes(envelope.payload, payload)
    ? envelope
    : undefined;
}
