import type { Case } from './case.ts';
import { set } from './edits.ts';
import type { Json } from './world.ts';
import { chainOf, ed25519, hashText, issuer, proof, vectorAt, worker } from './world.ts';

type Row = readonly [name: string, description: string, vector: Json];

const holder = (change: Json): Json => vectorAt(1, { holder: change });
/** A proof by the right key that says something else. */
const says = (change: Json): Json => holder({ proof: proof(worker(1), change) });
const cnf = (value: unknown): Json => vectorAt(1, { chain: chainOf(2, set(1, { cnf: value })) });

/** Who shows an authorization proves, for this request, that it holds the key that it names. */
export const HOLDER_CASES = (): readonly Case[] =>
  [...keyRows(), ...bindingRows(), ...formRows()].map(([name, description, vector]) => [
    'holder_binding_failed',
    name,
    description,
    vector,
  ]);

function keyRows(): Row[] {
  const thief = worker(7);
  return [
    ['thief', 'another key, which proves itself', holder({ key: thief.jwk, proof: proof(thief) })],
    ['thief-with-right-key', 'the right key is named, another one signs', holder({ proof: proof(thief) })],
    [
      'thief-with-right-kid',
      'another key signs and calls itself the right one',
      holder({ proof: proof(thief, {}, { kid: worker(1).kid }) }),
    ],
    [
      'parent-proves',
      'the parent’s key for the child’s authorization',
      holder({ key: worker(0).jwk, proof: proof(worker(0)) }),
    ],
    [
      'issuer-proves',
      'the issuer’s key is nobody’s holder',
      holder({ key: issuer.jwk, proof: proof(issuer) }),
    ],
    ['key-of-other-type', 'an Ed25519 key', holder({ key: ed25519('w').jwk, proof: proof(ed25519('w')) })],
    ['cnf-of-nobody', 'bound to another key', cnf({ jkt: hashText('nobody') })],
    ['cnf-missing', 'bound to no key', cnf(undefined)],
    ['cnf-empty', 'bound to no key', cnf({})],
    ['cnf-jwk', 'a confirmation method that is not known', cnf({ jkt: worker(1).kid, jwk: worker(7).jwk })],
  ];
}

const bindingRows = (): Row[] => [
  ['nonce-other', 'a proof for an earlier challenge', says({ nonce: hashText('yesterday') })],
  ['audience-other', 'a proof for another verifier', says({ aud: 'other.org' })],
  ['request-other', 'a proof for another request', says({ requestDigest: '00'.repeat(32) })],
  ['request-upper-case', 'the digest is compared literally', says({ requestDigest: 'AB'.repeat(32) })],
  ['asked-nonce-other', 'the verifier asked with another nonce', holder({ nonce: hashText('tomorrow') })],
  ['asked-request-other', 'the verifier got another request', holder({ requestDigest: '11'.repeat(32) })],
  ['asked-audience-other', 'the verifier is another one', holder({ audience: 'verifier.other.org' })],
  ['nonce-empty', 'an empty nonce', says({ nonce: '' })],
];

function formRows(): Row[] {
  const key = worker(1);
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: key.kid, typ: 'exec-holder+jwt' }));
  const [, payload = ''] = proof(key).split('.');
  return [
    ['no-proof', 'no proof', holder({ proof: '' })],
    ['no-jws', 'something else', holder({ proof: 'Bearer abc' })],
    ['unsigned', 'alg none', holder({ proof: `${none.toString('base64url')}.${payload}.` })],
    [
      'type-other',
      'a signature that was made for another purpose',
      holder({ proof: proof(key, {}, { typ: 'dpop+jwt' }) }),
    ],
    [
      'outcome-report',
      'a report that the same key signed',
      holder({ proof: proof(key, {}, { typ: 'exec-outcome+jwt' }) }),
    ],
    ['member-missing', 'bound to no request', says({ requestDigest: undefined })],
    ['member-more', 'a member that nobody asked for', says({ scope: 'admin' })],
    ['member-type', 'the audience as a list', says({ aud: ['example.org'] })],
    ['authorization-as-proof', 'the authorization itself', holder({ proof: chainOf(2)[1] ?? '' })],
    ['signature-flipped', 'one bit of the signature', holder({ proof: `${proof(key).slice(0, -4)}AAAA` })],
  ];
}
