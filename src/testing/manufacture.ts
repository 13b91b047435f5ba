import { createPublicKey } from 'node:crypto';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createAuthority } from './authority.ts';
import type { CaCertificates } from './authority.ts';
import { runTool } from './command.ts';
import { scratchDirectory } from './scratch.ts';

/** PCR banks that swtpm can allocate. */
export type PcrBank = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** EK certificates in DER: RSA-2048 (template L-1), ECC P-384 (H-3) and, where asked for, ECC P-256 (L-2). */
export interface EkCertificates {
  readonly rsa2048: Uint8Array;
  readonly eccP384: Uint8Array;
  readonly eccP256?: Uint8Array;
}

/** A factory: a CA with the configuration files of swtpm_setup and swtpm_localca. */
export interface Factory {
  readonly caCertificates: CaCertificates;
  readonly setupConfig: string;
  readonly caConfig: string;
  readonly caOptions: string;
}

const EK_RSA = 'ek-rsa2048.crt';
const EK_P384 = 'ek-secp384r1.crt';
const EK_P256 = 'ek-secp256r1.crt';

/** A factory with its own CA. */
export async function createFactory(): Promise<Factory> {
  const directory = scratchDirectory('ca');
  const caConfig = path.join(directory, 'localca.conf');
  const caOptions = path.join(directory, 'localca.options');
  const setupConfig = path.join(directory, 'setup.conf');
  await writeFile(
    caConfig,
    `statedir = ${directory}\nsigningkey = ${directory}/signkey.pem\n` +
      `issuercert = ${directory}/issuercert.pem\ncertserial = ${directory}/certserial\n`,
  );
  await writeFile(
    caOptions,
    '--platform-manufacturer Sealgate\n--platform-version 1.0\n--platform-model Emulator\n',
  );
  await writeFile(
    setupConfig,
    `create_certs_tool = swtpm_localca\ncreate_certs_tool_config = ${caConfig}\n` +
      `create_certs_tool_options = ${caOptions}\nactive_pcr_banks = sha256\n`,
  );
  const caCertificates = await createAuthority(directory);
  return { caCertificates, setupConfig, caConfig, caOptions };
}

/** Makes a new TPM: fresh seeds, RSA and P-384 EKs (persistent 0x81010001, 0x81010016) with certificates in NV. */
export async function manufacture(
  factory: Factory,
  home: string,
  banks: readonly PcrBank[],
): Promise<EkCertificates> {
  await mkdir(path.join(home, 'state'));
  await mkdir(path.join(home, 'certificates'));
  // prettier-ignore
  await runTool('swtpm_setup', [
    '--tpm2', '--tpmstate', path.join(home, 'state'), '--config', factory.setupConfig, '--create-ek-cert',
    '--pcr-banks', banks.join(','), '--write-ek-cert-files', path.join(home, 'certificates'),
  ]);
  return readEkCertificates(home);
}

/** The EK certificates that lie in a TPM's home directory. */
export async function readEkCertificates(home: string): Promise<EkCertificates> {
  const read = async (name: string): Promise<Uint8Array> =>
    new Uint8Array(await readFile(path.join(home, 'certificates', name)));
  const [rsa2048, eccP384, eccP256] = await Promise.all([
    read(EK_RSA),
    read(EK_P384),
    read(EK_P256).catch(() => undefined),
  ]);
  return { rsa2048, eccP384, ...(eccP256 === undefined ? {} : { eccP256 }) };
}

/**
 * Adds what swtpm_setup doesn't make: a certificate for the P-256 EK of template L-2 (TCG EK Credential Profile
 * §B.3.4) in NV 0x01C0000A, by the same CA. The TPM must be running.
 */
export async function certifyP256(factory: Factory, home: string, tcti: string): Promise<void> {
  const env = { TPM2TOOLS_TCTI: tcti };
  const file = (name: string): string => path.join(home, name);
  await runTool('tpm2_createek', ['-c', file('ek.ctx'), '-G', 'ecc', '-u', file('ek.pem'), '-f', 'pem'], {
    env,
  });
  await runTool('tpm2_flushcontext', ['-t'], { env });
  const certificate = file(path.join('certificates', EK_P256));
  await issueEk(factory, home, await p256Point(file('ek.pem')));
  await cp(file('ek.cert'), certificate);
  // prettier-ignore
  await runTool('tpm2_nvdefine', [
    '0x01c0000a', '-C', 'p', '-s', String((await readFile(certificate)).length),
    '-a', 'ppwrite|writedefine|ppread|ownerread|authread|no_da|platformcreate',
  ], { env });
  await runTool('tpm2_nvwrite', ['0x01c0000a', '-C', 'p', '-i', certificate], { env });
  await Promise.all(['ek.ctx', 'ek.pem', 'ek.cert'].map((name) => rm(file(name), { force: true })));
}

/** What swtpm_setup itself runs for its EKs, so that all certificates have one profile. */
async function issueEk(factory: Factory, home: string, point: string): Promise<void> {
  // prettier-ignore
  await runTool('swtpm_localca', [
    '--type', 'ek', '--ek', point, '--dir', home, '--tpm2',
    '--tpm-spec-family', '2.0', '--tpm-spec-level', '0', '--tpm-spec-revision', '164',
    '--tpm-manufacturer', 'id:00001014', '--tpm-model', 'swtpm', '--tpm-version', 'id:20191023',
    '--configfile', factory.caConfig, '--optsfile', factory.caOptions,
  ]);
}

/** A PEM public key as swtpm_localca wants it: `x=hex,y=hex,id=secp256r1`. */
async function p256Point(pemFile: string): Promise<string> {
  const { x, y } = createPublicKey(await readFile(pemFile)).export({ format: 'jwk' });
  const hex = (coordinate: string | undefined): string =>
    Buffer.from(coordinate ?? '', 'base64url').toString('hex');
  return `x=${hex(x)},y=${hex(y)},id=secp256r1`;
}
