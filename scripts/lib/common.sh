# Shared by scripts/test and scripts/quickstart: where the project is, and how a fresh machine gets what it needs.
# Source it; it changes into the project's root.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root" || exit 1

# What Debian 12 provides: a software TPM with its tools, the TPM software stack that node-tpm2 loads, and the
# programs that the suite compares us with.
debian_packages=(
  swtpm swtpm-tools tpm2-tools
  libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0 libtss2-tctildr0
  libtss2-tcti-swtpm0 libtss2-tcti-device0 libtss2-tcti-mssim0
  openssl openssh-client libcap2-bin bubblewrap ima-evm-utils python3
)

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

check_node() {
  command -v node >/dev/null || fail "Node.js 20.19 or later (20, 22 or 24) is needed: https://nodejs.org"
  node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22 ? 0 : 1);
  ' || fail "Node.js $(node --version) is too old: 20.19 or later in 20, or 22.12 or later."
}

missing_packages() {
  local package
  for package in "${debian_packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

install_packages() {
  local missing sudo=
  missing="$(missing_packages)"
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"; else
      fail "These Debian packages are missing. Install them, then start this again:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    fi
  fi
  say "installing Debian packages: $missing"
  # shellcheck disable=SC2086 # a list of package names
  { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends $missing; } >"$root/.cache/apt.log" 2>&1 ||
    { tail -n 20 "$root/.cache/apt.log" >&2; fail "apt-get failed (whole output: .cache/apt.log)"; }
}

# npm ci only when the lock file is another than the installed one: starting again is quick.
install_node_modules() {
  local stamp="node_modules/.sealgate-lock" lock
  lock="$(sha256sum package-lock.json | cut -d' ' -f1)"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ]; then return 0; fi
  say "installing npm packages (npm ci)"
  npm ci --no-audit --no-fund >"$root/.cache/npm.log" 2>&1 ||
    { tail -n 20 "$root/.cache/npm.log" >&2; fail "npm ci failed (whole output: .cache/npm.log)"; }
  printf '%s' "$lock" >"$stamp"
}

prepare() {
  mkdir -p .cache
  check_node
  [ "$1" = no-install ] || { install_packages; install_node_modules; }
  [ -d node_modules ] || fail "node_modules is missing: start without --no-install, or run npm ci"
}
