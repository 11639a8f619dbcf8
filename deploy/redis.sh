# What backup and restore share; read by them, not run.

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }
stop() {
    code=$1
    shift
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit "$code"
}
usage() {
    printf 'usage: %s\n' "$1" >&2
    exit 2
}

# The first of these programs that is there.
program() {
    for name in "$@"; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    stop 2 "none of $* is on the PATH; install redis-server (Debian: sudo apt-get install redis-server)"
}
redis_cli=$(program redis-cli valkey-cli)
redis_server=$(program "${REDIS_SERVER:-}" redis-server valkey-server)
redis_check_rdb=$(program redis-check-rdb valkey-check-rdb)

# Where the Redis is that `cli` talks to.
socket=
host=
port=
tls=
# The folder of an embedded Redis; empty for any other.
data=
# How the Redis is called in messages; never with a password.
shown=
own_pid=

# Reads what `redis.url` says.
locate() {
    shown=$1
    case $1 in
    embedded:?*)
        data=${1#embedded:}
        # A path that is too long for a socket lies elsewhere; the file `socket` says where.
        if [ -f "$data/socket" ]; then
            socket=$(cat "$data/socket")
        else
            socket=$data/redis.sock
        fi
        ;;
    unix:///?*)
        socket=${1#unix://}
        socket=${socket%%\?*}
        ;;
    redis://?* | rediss://?*)
        case $1 in rediss:*) tls=--tls ;; esac
        rest=${1#*://}
        rest=${rest%%/*}
        case $rest in
        *@*)
            login=${rest%@*}
            rest=${rest##*@}
            case $login in
            *%*) stop 2 "a password with % signs in it must be given as REDISCLI_AUTH" ;;
            :*) REDISCLI_AUTH=${login#:} ;;
            *:*) stop 2 "give the user's name with REDISCLI_AUTH only: redis://:password@host or the default user" ;;
            *) REDISCLI_AUTH=$login ;;
            esac
            export REDISCLI_AUTH
            shown="${1%%://*}://$rest"
            ;;
        esac
        host=${rest%:*}
        port=6379
        case $rest in *:*) port=${rest##*:} ;; esac
        ;;
    redis-cluster://* | redis-sentinel://*)
        stop 2 "name one primary at a time, as redis://host:port; a cluster is backed up primary by primary"
        ;;
    *) stop 2 "$1 is no way to a Redis: embedded:DIR, unix:///path, redis://host:port or rediss://host:port" ;;
    esac
}

cli() {
    if [ -n "$own_pid" ]; then
        (
            unset REDISCLI_AUTH
            exec "$redis_cli" -s "$socket" "$@"
        )
    elif [ -n "$socket" ]; then
        "$redis_cli" --no-auth-warning -s "$socket" "$@"
    else
        "$redis_cli" --no-auth-warning -h "$host" -p "$port" $tls "$@"
    fi
}

# Whether a Redis answers there.
answers() {
    [ -n "$socket$host" ] && [ "$(cli ping 2>/dev/null)" = PONG ]
}

# info SECTION FIELD
info() {
    cli info "$1" | tr -d '\r' | sed -n "s/^$2://p"
}

# How many keys there are, in all databases.
all_keys() {
    cli info keyspace | tr -d '\r' | sed -n 's/^db[0-9]*:keys=\([0-9]*\),.*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }'
}

# How many of them run out by themselves.
expiring_keys() {
    cli info keyspace | tr -d '\r' | sed -n 's/^db[0-9]*:.*expires=\([0-9]*\),.*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }'
}

# How many keys an RDB file holds; fails when it is no whole one.
keys_in() {
    told=$("$redis_check_rdb" "$1" 2>&1) || return 1
    printf '%s\n' "$told" | sed -n 's/.*\[info\] \([0-9]*\) keys read.*/\1/p' | tail -n 1
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d' ' -f1
    else
        shasum -a 256 "$1" | cut -d' ' -f1
    fi
}

# Copies the append-only files of a folder.
copy_data() {
    [ -d "$1/appendonlydir" ] || stop 1 "$1 holds no data of a Redis: there is no $1/appendonlydir"
    mkdir -p "$2"
    cp -R "$1/appendonlydir" "$2/appendonlydir"
}

# Starts a redis-server that nobody else can reach, over a folder; from then on `cli` talks to it.
start_own_redis() {
    folder_of_own=$1
    shift
    socket=$work/socket
    rm -f "$socket"
    "$redis_server" --port 0 --unixsocket "$socket" --unixsocketperm 700 --dir "$folder_of_own" --save "" \
        --logfile "$work/redis.log" --repl-diskless-sync-delay 0 "$@" </dev/null >/dev/null 2>&1 &
    own_pid=$!
    until answers; do
        if ! kill -0 "$own_pid" 2>/dev/null; then
            tail -n 20 "$work/redis.log" >&2
            own_pid=
            stop 3 "the data could not be read by $redis_server"
        fi
        sleep 0.05
    done
}

stop_own_redis() {
    [ -n "$own_pid" ] || return 0
    cli shutdown nosave >/dev/null 2>&1 || kill "$own_pid" 2>/dev/null || true
    wait "$own_pid" 2>/dev/null || true
    own_pid=
}
