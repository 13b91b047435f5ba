import type { Mutation } from '../lib/mutations.ts';

const sealing = 'test/credential/sealing.test.ts';
const attacks = 'test/attacks/sealing.test.ts';
const policy = 'test/tpm/policy-digest.test.ts';

/** Invariants 1 and 2 on the way of a credential to one TPM, session and boot. */
export const mutations: readonly Mutation[] = [
  {
    name: 'sealing-any-expiration',
    file: 'src/credential/sealing/rules.ts',
    find: '!Number.isInteger(expiration) || expiration < 1 || expiration > MAX_EXPIRATION',
    replace: '!Number.isInteger(expiration) || expiration > MAX_EXPIRATION',
    test: sealing,
  },
  {
    name: 'sealing-to-moving-pcrs',
    file: 'src/credential/sealing/rules.ts',
    find: '[10, 11, 15]',
    replace: '[10, 11]',
    test: sealing,
  },
  {
    name: 'sealing-without-the-artifact',
    file: 'src/credential/sealing/rules.ts',
    find: "if (kind === 'release' && !hasArtifact)",
    replace: "if (kind === 'renewal' && !hasArtifact && selection.length === 0)",
    test: sealing,
  },
  {
    name: 'sealing-to-any-session',
    file: 'src/credential/sealing/seal.ts',
    find: 'nonceTpm.length < 16 || ',
    replace: '',
    test: sealing,
  },
  {
    name: 'release-key-signs-again',
    file: 'src/credential/sealing/release-key.ts',
    find: '      key = undefined;\n',
    replace: '',
    test: sealing,
  },
  {
    name: 'sealed-policy-not-recomputed',
    file: 'src/credential/sealing/check.ts',
    find: '!equalBytes(area.authPolicy, sealedPolicyDigest(policy))',
    replace: 'area.authPolicy.length !== sealedPolicyDigest(policy).length',
    test: sealing,
  },
  {
    name: 'sealed-boot-not-compared',
    file: 'src/credential/sealing/check.ts',
    find: 'claimed.resetCount !== quoted.resetCount || ',
    replace: '',
    test: sealing,
  },
  {
    name: 'sealed-deadline-not-compared',
    file: 'src/credential/sealing/check.ts',
    find: 'claimed.clockBefore !== clockDeadline(quoted.clock, claimed.expiration)',
    replace: 'claimed.clockBefore < quoted.clock',
    test: sealing,
  },
  {
    name: 'sealed-policy-ref-not-compared',
    file: 'src/credential/sealing/check.ts',
    find: '!equalBytes(claimed.policyRef, policyRefOf(binding))',
    replace: 'claimed.policyRef.length !== policyRefOf(binding).length',
    test: sealing,
  },
  {
    name: 'sealed-signature-not-verified',
    file: 'src/credential/sealing/check.ts',
    find: '!isReleaseSignature(releaseKey, releaseMessage(terms), signature)',
    replace: 'isReleaseSignature(releaseKey, releaseMessage(terms), signature) === undefined',
    test: sealing,
  },
  {
    name: 'sealed-object-attributes-ignored',
    file: 'src/credential/sealing/check.ts',
    find: 'attributes: SEALED_ATTRIBUTES,',
    replace: 'attributes: area.attributes,',
    test: sealing,
  },
  {
    name: 'sealed-header-not-compared',
    file: 'src/credential/sealing/jwe.ts',
    find: '!isHeaderOf(headerOf(jwe), binding)',
    replace: "headerOf(jwe)['alg'] !== 'dir'",
    test: sealing,
  },
  {
    name: 'sealed-object-with-user-auth',
    file: 'src/tpm/import-blob.ts',
    find: "objectAttributes('adminWithPolicy', 'noDA')",
    replace: "objectAttributes('userWithAuth', 'noDA')",
    test: 'test/tpm/import-blob.test.ts',
  },
  {
    name: 'sealed-data-too-large',
    file: 'src/tpm/import-blob.ts',
    find: 'MAX_SEALED_DATA = 128',
    replace: 'MAX_SEALED_DATA = 256',
    test: 'test/tpm/import-blob.test.ts',
  },
  {
    name: 'wrapping-to-an-unrestricted-key',
    file: 'src/tpm/outer-wrap.ts',
    find: "!hasAttributes(key.attributes, 'restricted', 'decrypt')",
    replace: "!hasAttributes(key.attributes, 'decrypt')",
    test: 'test/tpm/credential.test.ts',
  },
  {
    name: 'policy-over-no-pcr',
    file: 'src/tpm/policy-digest.ts',
    find: 'pcrs.length > 0 &&',
    replace: '',
    test: policy,
  },
  {
    name: 'policy-over-descending-pcrs',
    file: 'src/tpm/policy-digest.ts',
    find: 'index > (pcrs[at - 1] ?? -1)',
    replace: 'index !== pcrs[at - 1]',
    test: policy,
  },
  {
    name: 'release-signature-without-the-object',
    file: 'src/tpm/sealed-object.ts',
    find: 'bytes(unsealCpHash(terms.objectName))',
    replace: 'bytes(unsealCpHash(new Uint8Array(34)))',
    test: attacks,
  },
  {
    name: 'sealed-policy-without-the-boot',
    file: 'src/tpm/sealed-object.ts',
    find: 'offset: TIME_INFO_OFFSET.resetCount, operation: TPM_EO.EQ',
    replace: 'offset: TIME_INFO_OFFSET.resetCount, operation: TPM_EO.UNSIGNED_GE',
    test: attacks,
  },
];
