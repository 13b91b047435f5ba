export * from './sealing/index.ts';
