export type { CaCertificates } from './authority.ts';
export { MissingToolError } from './command.ts';
export type { EkCertificates, PcrBank } from './manufacture.ts';
export type { StartupType } from './raw.ts';
export { commonAuthority, startSwtpm, Swtpm } from './swtpm.ts';
export type { RebootOptions, SwtpmOptions, SwtpmSnapshot } from './swtpm.ts';
export { EmulatedIma } from './emulated-ima.ts';
export { BOOT_BANKS, emulateBoot } from './recorded-boot.ts';
