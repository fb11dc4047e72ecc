/* NVIDIA's management library with one GPU, for tests of the real `pynvml`: the functions that the program calls.
   The file that NVML_FAKE_STATE names holds one number, the code that the calls about the GPU give back; behind it the
   code of the power alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } rates_t;
typedef struct { unsigned pid; unsigned long long bytes; unsigned instance, compute; } process_t;

static int is_open = 0;

static void codes(int *all, int *power) {
    *all = *power = 0;
    FILE *file = fopen(getenv("NVML_FAKE_STATE"), "r");
    if (!file) return;
    if (fscanf(file, "%d %d", all, power) < 1) *all = 999;
    fclose(file);
}

static int answer(void) {
    int all, power;
    codes(&all, &power);
    return is_open ? all : 1;
}

int nvmlInitWithFlags(unsigned flags) {
    int all, power;
    codes(&all, &power);
    if (all == 9) return all;
    is_open = 1;
    return 0;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { int was = is_open; is_open = 0; return was ? 0 : 1; }
const char *nvmlErrorString(int code) { return code ? "a made-up failure" : "success"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return is_open ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    static int device;
    *handle = &device;
    return index ? 2 : answer();
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.65.06"); return is_open ? 0 : 1; }
int nvmlDeviceGetName(void *handle, char *text, unsigned size) { snprintf(text, size, "Made-up GPU"); return answer(); }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) { snprintf(text, size, "GPU-00"); return answer(); }
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) { *major = 9; *minor = 0; return answer(); }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    memory->total = 1000; memory->used = 400; memory->free = 600;
    return answer();
}
int nvmlDeviceGetUtilizationRates(void *handle, rates_t *rates) { rates->gpu = 70; rates->memory = 30; return answer(); }
int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *celsius) { *celsius = 55; return answer(); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    int all, power;
    codes(&all, &power);
    *milliwatts = 123000;
    return power ? power : answer();
}
static int processes(unsigned *count, process_t *found) {
    int code = answer();
    if (code) return code;
    if (*count < 1) { *count = 1; return 7; }
    memset(found, 0, sizeof *found);
    found->pid = 7; found->bytes = 300; *count = 1;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *found) {
    return processes(count, found);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, process_t *found) {
    *count = 0;
    return answer();
}
