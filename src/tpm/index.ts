export * from './algorithms.ts';
export * from './constants.ts';
export * from './curves.ts';
export * from './name.ts';
export * from './object-attributes.ts';
export * from './pcr-selection.ts';
export * from './public-area.ts';
export * from './schemes.ts';
