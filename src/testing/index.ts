export { MissingToolError } from './command.ts';
export type { CaCertificates, EkCertificates, PcrBank } from './manufacture.ts';
export type { StartupType } from './raw.ts';
export { startSwtpm, Swtpm } from './swtpm.ts';
export type { RebootOptions, SwtpmOptions, SwtpmSnapshot } from './swtpm.ts';
export { EmulatedIma } from './emulated-ima.ts';
export { BOOT_BANKS, emulateBoot } from './recorded-boot.ts';
