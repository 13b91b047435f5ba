import { fromHex } from '../../src/base/index.ts';
import { importSizedAttestationKey, parsePcrValues } from '../../src/tpm/index.ts';
import type { AttestationKey, ClaimedPcrs, HashName, PcrSelection } from '../../src/tpm/index.ts';
import { dataFile, dataJson } from './vectors.ts';

/** A quote that was captured in a booted guest. */
export interface BootQuote {
  readonly attest: Uint8Array;
  readonly signature: Uint8Array;
  readonly pcrs: ClaimedPcrs;
  readonly nonce: Uint8Array;
  readonly selection: PcrSelection;
  /** What an independent tool noted about it. */
  readonly facts: {
    readonly signerPublic: string;
    readonly clock: number;
    readonly resetCount: number;
    readonly restartCount: number;
    readonly safe: number;
    readonly sig_alg: string;
    readonly hash: HashName;
  };
}

/** One boot's quote, e.g. `bootQuote('secure-boot', 'rounds/r0/main')`; the default is the boot's own. */
export function bootQuote(boot: string, quote = '.'): BootQuote {
  const folder = `boots/${boot}/${quote}`;
  const facts = dataJson(`${folder}/quote.json`) as BootQuote['facts'] & {
    readonly selection: Readonly<Record<HashName, readonly number[]>>;
  };
  return {
    attest: dataFile(`${folder}/quote.msg`),
    signature: dataFile(`${folder}/quote.sig`),
    pcrs: parsePcrValues(dataFile(`${folder}/quoted_pcrs.json`)),
    nonce: fromHex(
      Buffer.from(dataFile(`${folder}/nonce.hex`))
        .toString('utf8')
        .trim(),
    ),
    selection: Object.entries(facts.selection).map(([bank, pcrs]) => ({ bank: bank as HashName, pcrs })),
    facts,
  };
}

/** A boot's attestation key by its file name. */
export function bootKey(boot: string, file = 'ak.pub'): AttestationKey {
  return importSizedAttestationKey(dataFile(`boots/${boot}/${file}`));
}
