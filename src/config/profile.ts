import type { Static } from 'typebox';
import { Type } from './type-builder.ts';

/** A profile: how to reach a verifier. What talks to one finds it by `--profile NAME`. */
export const PROFILE_SCHEMA = Type.Object(
  {
    url: Type.String({
      description: 'The verifier.',
      default: 'https://localhost:8443',
      pattern: '^https://[A-Za-z0-9.:\\[\\]-]{1,255}$',
    }),
    caFingerprint: Type.String({
      description:
        'SHA-256 of the verifier’s TLS authority certificate (DER), hex: the one that is believed.',
      default: '',
      pattern: '^(?:[0-9a-f]{64})?$',
    }),
    certificate: Type.String({
      description: 'Client certificate (PEM); relative to the profile. Empty: none.',
      default: '',
      maxLength: 4096,
    }),
    key: Type.String({
      description: 'The certificate’s private key (PEM, 0600); relative to the profile. Empty: none.',
      default: '',
      maxLength: 4096,
    }),
    logKey: Type.String({
      description: 'The audit log’s key (vkey), for verifying proofs. Empty: not checked.',
      default: '',
      maxLength: 1024,
    }),
  },
  { additionalProperties: false, description: 'A profile (profiles/NAME.yaml).' },
);

export type Profile = Static<typeof PROFILE_SCHEMA>;
