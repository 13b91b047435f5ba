export { MissingToolError } from './command.ts';
export type { CaCertificates, EkCertificates, PcrBank } from './manufacture.ts';
export type { StartupType } from './raw.ts';
export { startSwtpm, Swtpm } from './swtpm.ts';
export type { RebootOptions, SwtpmOptions, SwtpmSnapshot } from './swtpm.ts';
