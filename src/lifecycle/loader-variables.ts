/*
 * Variables of a child's environment that decide what code runs. One list: policy refuses them unless it names them, and
 * the gateway sets them only after the programs that confine a child.
 */

/** By which a dynamic loader, a library or an interpreter takes other code than what was verified. */
const SELECTS_CODE = [
  // The dynamic loader, libc and what it loads.
  ...['LD_.*', 'GLIBC_.*', 'GCONV.*', 'LOCPATH', 'NLSPATH', 'PATH'],
  // Shells.
  ...['BASH_ENV', 'ENV', 'BASH_FUNC_.*', 'SHELLOPTS', 'BASHOPTS', 'IFS', 'ZDOTDIR'],
  // Interpreters and virtual machines.
  ...[
    'NODE_.*',
    'PYTHON.*',
    'PERL.*',
    'RUBY.*',
    'GEM_.*',
    'BUNDLE_.*',
    'LUA_.*',
    'PHPRC',
    'PHP_INI_SCAN_DIR',
  ],
  ...['_?JAVA_.*', 'JDK_JAVA_OPTIONS', 'CLASSPATH', 'DOTNET_STARTUP_HOOKS', 'DOTNET_ADDITIONAL_DEPS'],
  ...['CORECLR_.*', 'ERL_.*', 'GUILE_.*', 'TCLLIBPATH', 'R_PROFILE.*', 'R_ENVIRON.*'],
  // Libraries that load modules.
  ...['OPENSSL_CONF', 'OPENSSL_MODULES', 'OPENSSL_ENGINES', 'GTK_MODULES', 'GIO_EXTRA_MODULES'],
];

/** Which besides change what the confining programs themselves do, as far as libc looks at them. */
const MOVES_LIBC = ['MALLOC_.*', 'TZDIR', 'RES_OPTIONS', 'HOSTALIASES'];

const CODE = new RegExp(`^(?:${SELECTS_CODE.join('|')})$`);
const LIBC = new RegExp(`^(?:${MOVES_LIBC.join('|')})$`);

/** True for a variable that selects code: refused unless policy names it (`loader-variable`). */
export const selectsCode = (name: string): boolean => CODE.test(name);

/** True for a variable that no program may have that still has rights to give up. */
export const touchesConfinement = (name: string): boolean => selectsCode(name) || LIBC.test(name);
