#!/bin/bash
# A real OpenStack Ironic (Debian's packages) on 127.0.0.1 to measure against: stand-alone, no authentication, API and conductor apart, MariaDB.
#   ironic.sh up DIR PORT [SYNC_SECONDS]    installs what is missing, starts, prints "ready" when the API has its drivers
#   ironic.sh down DIR                      stops what it started and removes DIR
# Everything lives in DIR. PORT is the API's; the two after it are the RPC's and the database's.
set -eu
command=$1 dir=$2
packages="ironic-api ironic-conductor mariadb-server-core mariadb-client-core ipmitool"

stop() {
  for file in "$dir"/run/*.pid; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    # The directory in its command line says that it is ours.
    if tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -q "$dir"; then
      kill "$pid" 2>/dev/null || true
      for _ in $(seq 50); do [ -e "/proc/$pid" ] || break; sleep 0.1; done
      pkill -9 -P "$pid" 2>/dev/null || true
      kill -9 "$pid" 2>/dev/null || true
    fi
  done
  rm -rf "$dir"
}

if [ "$command" = down ]; then stop; exit 0; fi
port=$3 sync=${4:-0} rpc=$(($3 + 1)) db=$(($3 + 2))

missing=""
for package in $packages; do dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"; done
if [ -n "$missing" ]; then
  echo "Debian packages of the peer that are missing:$missing" >&2
  # Nothing of them shall start by itself as a service of this machine.
  policy=/usr/sbin/policy-rc.d made=0
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; made=1; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing > /dev/null
  [ $made = 0 ] || rm -f $policy
fi

mkdir -p "$dir"/{run,log,state,tmp,state/tftp,state/images,state/http}
clean() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$dir" LANG=C.UTF-8 TMPDIR="$dir/tmp" "$@"; }
start() { # detached, with nothing of ours open: whoever started this script waits for the end of its output
  local name=$1
  shift
  (cd "$dir" && exec setsid env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$dir" LANG=C.UTF-8 TMPDIR="$dir/tmp" "$@") >> "$dir/log/$name.out" 2>&1 < /dev/null &
  echo $! > "$dir/run/$name.pid"
}

clean mariadb-install-db --no-defaults --user=root --datadir="$dir/mysql" --auth-root-authentication-method=normal --skip-test-db > "$dir/log/install.out" 2>&1
start mariadb mariadbd --no-defaults --user=root --datadir="$dir/mysql" --bind-address=127.0.0.1 --port="$db" --socket="$dir/run/db.sock" \
  --pid-file="$dir/run/own.file" --max-connections=400 --character-set-server=utf8mb3 --skip-log-bin
for _ in $(seq 150); do mariadb-admin --no-defaults -S "$dir/run/db.sock" -uroot ping > /dev/null 2>&1 && break; sleep 0.2; done
mariadb --no-defaults -S "$dir/run/db.sock" -uroot -e "CREATE DATABASE ironic CHARACTER SET utf8mb3; CREATE USER ironic@'127.0.0.1' IDENTIFIED BY 'ironic'; GRANT ALL ON ironic.* TO ironic@'127.0.0.1'"

cat > "$dir/ironic.conf" <<C
[DEFAULT]
auth_strategy = noauth
host = 127.0.0.1
my_ip = 127.0.0.1
rpc_transport = json-rpc
state_path = $dir/state
tempdir = $dir/tmp
log_dir = $dir/log
use_stderr = False
enabled_hardware_types = ipmi,fake-hardware
enabled_bios_interfaces = no-bios,fake
enabled_boot_interfaces = ipxe,pxe,fake
enabled_console_interfaces = no-console,fake
enabled_deploy_interfaces = direct,fake
enabled_inspect_interfaces = no-inspect,fake
enabled_management_interfaces = ipmitool,noop,fake
enabled_network_interfaces = noop
enabled_power_interfaces = ipmitool,fake
enabled_raid_interfaces = no-raid,agent,fake
enabled_rescue_interfaces = no-rescue,agent,fake
enabled_storage_interfaces = noop,fake
enabled_vendor_interfaces = no-vendor,ipmitool,fake
[api]
host_ip = 127.0.0.1
port = $port
api_workers = $(nproc)
[json_rpc]
auth_strategy = noauth
host_ip = 127.0.0.1
port = $rpc
[database]
connection = mysql+pymysql://ironic:ironic@127.0.0.1:$db/ironic?charset=utf8
[conductor]
sync_power_state_interval = $sync
automated_clean = True
[dhcp]
dhcp_provider = none
[pxe]
tftp_root = $dir/state/tftp
images_path = $dir/state/images
[deploy]
http_root = $dir/state/http
http_url = http://127.0.0.1:1
[oslo_concurrency]
lock_path = $dir/state
C
clean ironic-dbsync --config-file "$dir/ironic.conf" create_schema > "$dir/log/dbsync.out" 2>&1
start conductor /usr/bin/ironic-conductor --config-file "$dir/ironic.conf"
start api /usr/bin/ironic-api --config-file "$dir/ironic.conf"
for _ in $(seq 600); do
  curl -fs -H 'X-OpenStack-Ironic-API-Version: 1.50' "http://127.0.0.1:$port/v1/drivers" 2>/dev/null | grep -q fake-hardware && { echo ready; exit 0; }
  sleep 0.1
done
echo "the peer did not come up; its last words:" >&2
tail -5 "$dir"/log/*.out "$dir"/log/*.log >&2
exit 1
