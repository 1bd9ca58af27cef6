#!/usr/bin/env bash
# setup.sh VENV [tests] installs what the programs and the demo need, with `tests` also what the
# tests speak to: Debian packages, then a virtual environment with exactly the locked libraries.
# Safe to run again; prints the one command to run where it lacks the right to install.
set -euo pipefail

venv=$1
kind=${2:-demo}

# program that proves it is there : Debian package that brings it
needed="wireguard-go:wireguard-go wg:wireguard-tools nft:nftables ip:iproute2 conntrack:conntrack
        tcpdump:tcpdump ping:iputils-ping unshare:util-linux ps:procps setpriv:util-linux
        cc:gcc openssl:openssl"
if [ "$kind" = tests ]; then
  needed+=" systemd-analyze:systemd turnutils_stunclient:coturn stun:stun-client chromium:chromium
            /usr/lib/postgresql/*/bin/postgres:postgresql
            qemu-system-x86_64:qemu-system-x86 mkfs.ext4:e2fsprogs iperf3:iperf3
            strace:strace /usr/lib/*/faketime/libfaketimeMT.so.1:faketime"
  # QEMU's file server left QEMU for a package of its own.
  case $(. /etc/os-release && echo "$ID ${VERSION_ID-}") in
    "debian 12" | "ubuntu 22"*) needed+=" /usr/lib/qemu/virtiofsd:qemu-system-common" ;;
    *) needed+=" /usr/libexec/virtiofsd:virtiofsd" ;;
  esac
fi

is_there() {
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || compgen -G "$1" >/dev/null
}

missing=()
for entry in $needed; do
  is_there "${entry%%:*}" || missing+=("${entry##*:}")
done

python=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null 2>&1 \
    && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || missing+=(python3)
"${python:-python3}" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ]; then
    echo "setup: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}" >/dev/null
  else
    echo "setup: missing Debian packages; please run" >&2
    echo "  sudo apt-get install ${missing[*]}" >&2
    echo "and then this command again" >&2
    exit 1
  fi
fi

python=${python:-python3}
echo "setup: libraries for $("$python" --version) in $venv"
"$python" -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/pip" install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
