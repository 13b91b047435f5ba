import { Option } from 'commander';
import type { Command } from 'commander';
import { toHex } from '../../base/index.ts';
import { measureInput } from '../artifact-files.ts';
import { UsageError } from '../errors.ts';
import { paint, printJson, printable, table } from '../output.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { signArtifact } from './artifact-sign.ts';
import type { SignOptions } from './artifact-sign.ts';
import { answerJson, verifyArtifactFile } from './artifact-verify.ts';
import type { VerifyAnswer, VerifyOptions } from './artifact-verify.ts';

/** `sealgate artifact digest|sign|verify` (docs/ARTIFACTS.md). */
export function registerArtifact(program: Command, context: CommandContext): void {
  const artifact = program.command('artifact').description('digests and signatures of what may run');
  registerDigest(artifact, context);
  registerSign(artifact, context);
  registerVerify(artifact, context);
}

function registerDigest(artifact: Command, context: CommandContext): void {
  artifact
    .command('digest <path>')
    .description('SHA-256 of a file, or of the canonical manifest of a directory tree')
    .option(
      '--manifest',
      'write the tree’s manifest to stdout instead: what CMS and SSH signatures of a tree sign',
    )
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate artifact digest ./backup-tool\n  sealgate artifact digest dist/ --json\n',
    )
    .action(async (path: string, options: { manifest?: boolean }) => {
      const { type, digests, files, bytes, manifest } = await measureInput(path);
      if (options.manifest === true) {
        if (manifest === undefined || context.json) {
          throw new UsageError('--manifest is for a directory, and without --json');
        }
        context.io.stdout(Buffer.from(manifest).toString('utf8'));
        return;
      }
      const sha256 = toHex(digests.sha256);
      if (context.json) printJson(context.io, { type, sha256, files, bytes });
      else context.io.stdout(`${sha256}  ${printable(path)}\n`);
    });
}

function registerSign(artifact: Command, context: CommandContext): void {
  artifact
    .command('sign <file>')
    .description('sign a file or a tree: FILE.dsse.json, FILE.p7s or FILE.sig')
    .requiredOption('--key <file>', 'private key: PEM (PKCS #8) or OpenSSH; Ed25519, ECDSA P-256, RSA')
    .addOption(new Option('--format <format>', 'how to sign').choices(['dsse', 'cms', 'ssh']).default('dsse'))
    .option('--name <name>', 'the artifact’s name (dsse); the file’s own by default')
    .option('--artifact-version <version>', 'version that the signature states (dsse), like 1.4.2')
    .option('--not-before <time>', 'the signature counts from then on (dsse), like 2026-11-22T20:00:00Z')
    .option('--not-after <time>', 'the signature counts until then (dsse)')
    .addOption(
      new Option('--encoding <encoding>', 'of ECDSA in dsse').choices(['der', 'ieee-p1363']).default('der'),
    )
    .option('--cert <file>', 'the signer’s certificate and its chain, PEM (cms)')
    .option('--namespace <name>', 'namespace of the signature (ssh)')
    .option('--output <file>', 'write there instead')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nA second DSSE signature over the same artifact joins the first in one file; other formats replace their file.\n' +
        '\nExample:\n  sealgate artifact sign backup-tool --key release.pem --name backup-tool --artifact-version 1.4.2\n' +
        '  sealgate artifact sign backup-tool --key code.pem --cert code.crt --format cms\n',
    )
    .action(async (file: string, options: SignOptions) => {
      const signed = await signArtifact(file, options);
      if (context.json) printJson(context.io, { ok: true, denial: null, ...signed });
      else {
        const { signature, digest, key, signatures } = signed;
        context.io.stdout(
          table([
            ['signed', printable(signature)],
            ['digest', `sha256:${digest}`],
            ['key', key],
            ['signatures', String(signatures)],
          ]),
        );
      }
    });
}

function registerVerify(artifact: Command, context: CommandContext): void {
  const collect = (file: string, before: readonly string[]): readonly string[] => [...before, file];
  artifact
    .command('verify <file>')
    .description('check an artifact’s signatures against a trust document')
    .requiredOption(
      '--trust <file>',
      'who may sign, how many must, and what else has to hold (docs/ARTIFACTS.md)',
    )
    .option('--signature <file>', 'signature file, repeatable; by default the three beside FILE', collect, [])
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate artifact verify backup-tool --trust trust.json\n')
    .action(async (file: string, options: VerifyOptions) => {
      const answer = await verifyArtifactFile(file, options);
      if (answer.denial !== null) context.exit(1);
      if (context.json) printJson(context.io, answerJson(answer));
      else printVerdict(context, file, answer);
    });
}

function printVerdict({ io }: CommandContext, file: string, answer: VerifyAnswer): void {
  const { digest, signers, threshold, denial, notes } = answer;
  const count =
    threshold === null ? [] : [['threshold', `${String(threshold.have)} of ${String(threshold.need)}`]];
  io.stdout(
    table([
      [denial === null ? paint(io, 'green', 'verified') : paint(io, 'red', 'refused'), printable(file)],
      ...(digest === null ? [] : [['digest', `sha256:${digest}`]]),
      ...signers.map(({ key, name, format }) => [
        'signer',
        [format, key, printable(name ?? '')].join(' ').trim(),
      ]),
      ...count,
    ]),
  );
  if (denial !== null) printDenial(denial, io, false);
  for (const note of notes)
    io.stderr(`${printable(note)}
`);
}
