/** A process that gives up what it may: the user of nobody, and a program that sees nothing of the machine but
 *  itself. */
import { basename } from 'node:path'

const NOBODY = 65_534

/** From now on this process is nobody's: it may open what everybody may, and never becomes root again. Throws where it
 *  is not root. */
export function becomeNobody(): void {
  if (!process.setgroups || !process.setgid || !process.setuid) throw new Error('there are no users on this system')
  process.setgroups([])
  process.setgid(NOBODY)
  process.setuid(NOBODY)
}

export interface Cell {
  /** Its root; made where it is missing. */
  readonly dir: string
  /** Node.js, and the program that it runs. */
  readonly node: string
  readonly program: string
  readonly words: readonly string[]
  /** `busybox` where the programs of coreutils and util-linux are its applets. */
  readonly busybox?: string
}

/** The mounts end with the process. No file is left to write, no device, no /proc; no network interface but a loopback
 *  that is down, no environment: the descriptors that it inherits are all that it has. Where memory runs out it goes
 *  first. The shell stays as the first process of a PID namespace: it is in the group that is ended, which the program
 *  could leave, and with it ends everything that the program started. */
const SCRIPT = `set -e
dir=$1 node=$2 program=$3
shift 3
$BUSYBOX mkdir -p "$dir"
$BUSYBOX mount -t tmpfs -o mode=755,size=64k,nosuid,nodev none "$dir"
for part in usr lib lib64; do
  if [ -d "/$part" ]; then
    $BUSYBOX mkdir "$dir/$part"
    $BUSYBOX mount -o bind "/$part" "$dir/$part"
    $BUSYBOX mount -o remount,bind,ro,nosuid,nodev "$dir/$part"
  fi
done
for file in "$node" "$program"; do
  : > "$dir/$($BUSYBOX basename "$file")"
  $BUSYBOX mount -o bind "$file" "$dir/$($BUSYBOX basename "$file")"
done
$BUSYBOX mount -o remount,ro,nosuid,nodev none "$dir"
echo 1000 > /proc/self/oom_score_adj
$BUSYBOX env -i PATH="$PATH" $BUSYBOX setpriv --nnp $BUSYBOX chroot "$dir" \
  prlimit --core=0 --fsize=0 --nofile=256 --nproc=64 "$@"
exit $?
`

/** Runs `program` so that it sees its own files alone, and no network: `becomeNobody` is its own first act. Needs
 *  root. */
export const inCell = ({ dir, node, program, words, busybox }: Cell): { argv: string[]; env: { BUSYBOX: string } } => {
  const own = busybox === undefined ? [] : [busybox]
  const inside = [`/${basename(node)}`, '--max-old-space-size=64', `/${basename(program)}`, ...words]
  const shell = [...own, 'sh', '-c', SCRIPT, 'cell', dir, node, program]
  return {
    argv: [...own, 'unshare', '-m', '-n', '-i', '-u', '-p', '-f', ...shell, ...inside],
    env: { BUSYBOX: busybox ?? '' },
  }
}
