#!/bin/bash
# A Slurm of one node with four made GPUs, for tests: slurm_node.sh start|stop DIR
# DIR: an absolute, short path. No systemd, no accounting, no authentication, loopback only.
# `start` prints what to evaluate in the environment of its users.
set -euo pipefail
command=$1 dir=$2
export SLURM_CONF=$dir/etc/slurm.conf

start() {
    local host port
    host=$(hostname -s)
    port=${PORT:-$((20000 + RANDOM % 8000))}
    mkdir -p "$dir"/{etc,log,run,state,spool,gpus,bin}
    # A GPU has to be a character device, or no CUDA_VISIBLE_DEVICES is set.
    for i in 0 1 2 3; do ln -sfn /dev/null "$dir/gpus/nvidia$i"; done
    echo "NodeName=$host Name=gpu File=$dir/gpus/nvidia[0-3]" >"$dir/etc/gres.conf"
    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/none
CredType=cred/none
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
GresTypes=gpu
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=5
InactiveLimit=0
Waittime=0
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE DefMemPerCPU=100 State=UP
CONF
    # The job step of Snakemake's executor drops SLURM_CONF before its inner srun: give it back.
    printf '#!/bin/sh\nSLURM_CONF=%s exec /usr/bin/srun "$@"\n' "$SLURM_CONF" >"$dir/bin/srun"
    chmod +x "$dir/bin/srun"
    /usr/sbin/slurmctld -c >/dev/null 2>&1 </dev/null
    /usr/sbin/slurmd >/dev/null 2>&1 </dev/null
    for _ in $(seq 100); do
        if [ "$(sinfo -h -o %t 2>/dev/null)" = idle ]; then
            echo "$SLURM_CONF $dir/bin"
            return
        fi
        sleep 0.1
    done
    tail -n 20 "$dir"/log/*.log >&2
    return 1
}

stop() {
    local pid
    scancel -u root >/dev/null 2>&1 || true
    for name in slurmd slurmctld; do
        [ -f "$dir/run/$name.pid" ] || continue
        pid=$(cat "$dir/run/$name.pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
}

"$command"
