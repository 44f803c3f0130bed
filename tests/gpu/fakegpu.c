/*
 * An OpenCL driver for tests: Intel's OpenCL runtime for processors (libintelocl.so, PyPI intel-opencl-rt), made to
 * answer like an Intel integrated GPU, so that OpenVINO's unmodified GPU plugin takes it.
 *
 * It is an ICD, found by one line in an .icd file. It patches the runtime's dispatch table in place, at which every
 * object the runtime makes points; nothing is preloaded.
 *
 *   FAKEGPU_CACHE  a folder of built programs, by the hash of their sources: a second run needs no compiler
 *   FAKEGPU_LOG    a file to which builds, their times and what failed are appended; "-" is stderr
 *   FAKEGPU_NO     extensions to hide, separated by commas
 *   FAKEGPU_HANG   a path: while such a file exists, no launch of a kernel returns
 *   FAKEGPU_FAIL   a path: while such a file exists, every launch of a kernel fails as on a device that was reset
 *   FAKEGPU_BUILD  a path: while such a file exists, no program can be built
 */
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_icd.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define T_MAX 512

/* The device it answers as: UHD Graphics 630, of generation 9.2.9. */
#define NAME "Intel(R) UHD Graphics 630 [0x3e92]"
#define DRIVER "24.35.30872.22"
#define VERSION "OpenCL 3.0 NEO "
static const cl_uint IP = (9u << 22) | (2u << 14) | 9u, DEVICE_ID = 0x3e92, VENDOR_ID = 0x8086;
static const cl_uint SLICES = 1, SUB_SLICES = 3, EUS = 8, THREADS = 7, MHZ = 1150;
static const cl_device_feature_capabilities_intel FEATURES = 0;
static const size_t WORK_GROUP = 256, SUB_GROUPS[] = {8, 16, 32};

static struct _cl_icd_dispatch real;   /* the vendor's own functions, before patching */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *lib;
static FILE *logf_;

static void logm(const char *fmt, ...) {
    if (!logf_) return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(logf_, fmt, ap);
    va_end(ap);
    fflush(logf_);
}

static cl_int put(const void *v, size_t n, size_t size, void *out, size_t *ret) {
    if (out) {
        if (size < n) return CL_INVALID_VALUE;
        memcpy(out, v, n);
    }
    if (ret) *ret = n;
    return CL_SUCCESS;
}
static cl_int put_str(const char *s, size_t size, void *out, size_t *ret) { return put(s, strlen(s) + 1, size, out, ret); }

static int wished(const char *variable) {   /* whether the file that the variable names exists */
    const char *path = getenv(variable);
    return path && !access(path, F_OK);
}

static int hidden(const char *tok, size_t n) {
    const char *no = getenv("FAKEGPU_NO");
    static const char *always[] = {
        /* not on an Intel iGPU's list, or would be taken as proof of a CPU runtime */
        "cl_intel_exec_by_local_thread", "cl_intel_vec_len_hint", "cl_intel_device_partition_by_names",
        "cl_intel_devicelib_assert", "cl_khr_spir", NULL};
    for (int i = 0; always[i]; i++)
        if (strlen(always[i]) == n && !strncmp(always[i], tok, n)) return 1;
    while (no && *no) {
        size_t m = strcspn(no, ",");
        if (m == n && !strncmp(no, tok, n)) return 1;
        no += m;
        if (*no) no++;
    }
    return 0;
}

static cl_int CL_API_CALL f_clGetDeviceInfo(cl_device_id d, cl_device_info p, size_t size, void *out, size_t *ret) {
    switch (p) {
    case CL_DEVICE_TYPE: { cl_device_type t = CL_DEVICE_TYPE_GPU; return put(&t, sizeof t, size, out, ret); }
    case CL_DEVICE_NAME: return put_str(NAME, size, out, ret);
    case CL_DRIVER_VERSION: return put_str(DRIVER, size, out, ret);
    case CL_DEVICE_VERSION: return put_str(VERSION, size, out, ret);
    case CL_DEVICE_VENDOR_ID: return put(&VENDOR_ID, sizeof VENDOR_ID, size, out, ret);
    case CL_DEVICE_MAX_COMPUTE_UNITS: { cl_uint v = SLICES * SUB_SLICES * EUS; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_MAX_CLOCK_FREQUENCY: return put(&MHZ, sizeof MHZ, size, out, ret);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE: return put(&WORK_GROUP, sizeof WORK_GROUP, size, out, ret);
    case CL_DEVICE_LOCAL_MEM_SIZE: { cl_ulong v = 65536; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_LOCAL_MEM_TYPE: { cl_device_local_mem_type v = CL_LOCAL; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_HOST_UNIFIED_MEMORY: { cl_bool v = CL_TRUE; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_PARTITION_MAX_SUB_DEVICES: { cl_uint v = 0; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_PARTITION_PROPERTIES: { cl_device_partition_property v = 0; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_PARTITION_AFFINITY_DOMAIN: { cl_device_affinity_domain v = 0; return put(&v, sizeof v, size, out, ret); }
    case CL_DEVICE_SUB_GROUP_SIZES_INTEL: return put(SUB_GROUPS, sizeof SUB_GROUPS, size, out, ret);
    case CL_DEVICE_IP_VERSION_INTEL: return put(&IP, sizeof IP, size, out, ret);
    case CL_DEVICE_ID_INTEL: return put(&DEVICE_ID, sizeof DEVICE_ID, size, out, ret);
    case CL_DEVICE_NUM_SLICES_INTEL: return put(&SLICES, sizeof SLICES, size, out, ret);
    case CL_DEVICE_NUM_SUB_SLICES_PER_SLICE_INTEL: return put(&SUB_SLICES, sizeof SUB_SLICES, size, out, ret);
    case CL_DEVICE_NUM_EUS_PER_SUB_SLICE_INTEL: return put(&EUS, sizeof EUS, size, out, ret);
    case CL_DEVICE_NUM_THREADS_PER_EU_INTEL: return put(&THREADS, sizeof THREADS, size, out, ret);
    case CL_DEVICE_FEATURE_CAPABILITIES_INTEL: return put(&FEATURES, sizeof FEATURES, size, out, ret);
    case CL_DEVICE_HALF_FP_CONFIG: {
        cl_device_fp_config v = CL_FP_DENORM | CL_FP_INF_NAN | CL_FP_ROUND_TO_NEAREST | CL_FP_ROUND_TO_ZERO | CL_FP_ROUND_TO_INF | CL_FP_FMA;
        return put(&v, sizeof v, size, out, ret);
    }
    case CL_DEVICE_PCI_BUS_INFO_KHR: {
        cl_device_pci_bus_info_khr v = {0, 0, 2, 0};
        return put(&v, sizeof v, size, out, ret);
    }
    case CL_DEVICE_EXTENSIONS: {
        size_t n = 0;
        cl_int e = real.clGetDeviceInfo(d, p, 0, NULL, &n);
        if (e) return e;
        char *s = calloc(1, n + 64), *o = calloc(1, n + 64);
        e = real.clGetDeviceInfo(d, p, n, s, NULL);
        for (char *t = s; !e && *t;) {
            size_t m = strcspn(t, " ");
            if (m && !hidden(t, m)) { strncat(o, t, m); strcat(o, " "); }
            t += m;
            if (*t) t++;
        }
        if (!hidden("cl_khr_pci_bus_info", 19)) strcat(o, "cl_khr_pci_bus_info ");
        if (!hidden("cl_khr_subgroups", 16)) strcat(o, "cl_khr_subgroups ");
        if (!e) e = put_str(o, size, out, ret);
        free(s); free(o);
        return e;
    }
    default: return real.clGetDeviceInfo(d, p, size, out, ret);
    }
}

static cl_int CL_API_CALL f_clGetDeviceIDs(cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *ids, cl_uint *ret) {
    if (t == CL_DEVICE_TYPE_ALL || t == CL_DEVICE_TYPE_DEFAULT || (t & CL_DEVICE_TYPE_GPU))
        return real.clGetDeviceIDs(p, CL_DEVICE_TYPE_ALL, n, ids, ret);
    if (ret) *ret = 0;
    return CL_DEVICE_NOT_FOUND;
}

static cl_context CL_API_CALL f_clCreateContextFromType(const cl_context_properties *pr, cl_device_type t,
        void(CL_CALLBACK *cb)(const char *, const void *, size_t, void *), void *u, cl_int *e) {
    return real.clCreateContextFromType(pr, CL_DEVICE_TYPE_ALL, cb, u, e);
}

/* Options only the GPU compiler (IGC) knows are dropped. */
static char *clean_options(const char *o, int o0) {
    static const char *drop[] = {"-cl-intel-greater-than-4GB-buffer-required", "-cl-intel-256-GRF-per-thread",
        "-cl-intel-no-local-to-generic", "-cl-no-subgroup-ifp", "-cl-intel-enable-auto-large-GRF-mode", NULL};
    if (!o) return NULL;
    char *r = calloc(1, strlen(o) + 2);
    for (const char *t = o; *t;) {
        size_t m = strcspn(t, " "), bad = 0;
        for (int i = 0; drop[i]; i++)
            if (strlen(drop[i]) == m && !strncmp(drop[i], t, m)) bad = 1;
        if (m && !bad) { strncat(r, t, m); strcat(r, " "); }
        t += m;
        if (*t) t++;
    }
    if (o0) { r = realloc(r, strlen(r) + 20); strcat(r, "-cl-opt-disable "); }
    return r;
}

/* What the vectorizer of the CPU's compiler needs minutes for is built without optimisation. */
static int unoptimized(const char *names) { return strstr(names, "convolution_gpu_fs_byx_fsv32") != NULL; }

static uint64_t hash(const char *s) {
    uint64_t h = 1469598103934665603ull;
    while (*s) h = (h ^ (unsigned char)*s++) * 1099511628211ull;
    return h;
}

static void cache_store(cl_program p, uint64_t h) {
    const char *dir = getenv("FAKEGPU_CACHE");
    char path[T_MAX], tmp[T_MAX];
    size_t bn = 0;
    unsigned char *b;
    if (!dir || !h) return;
    if (real.clGetProgramInfo(p, CL_PROGRAM_BINARY_SIZES, sizeof bn, &bn, NULL) || !bn) return;
    b = malloc(bn);
    if (!real.clGetProgramInfo(p, CL_PROGRAM_BINARIES, sizeof b, &b, NULL)) {
        snprintf(path, sizeof path, "%s/%016lx.bin", dir, (unsigned long)h);
        snprintf(tmp, sizeof tmp, "%s/%016lx.%d.tmp", dir, (unsigned long)h, (int)getpid());
        FILE *f = fopen(tmp, "w");
        if (f) { fwrite(b, 1, bn, f); fclose(f); rename(tmp, path); }
    }
    free(b);
}

static cl_program cache_load(cl_context c, const char *src) {
    const char *dir = getenv("FAKEGPU_CACHE");
    char path[T_MAX];
    cl_device_id d = NULL;
    cl_program p = NULL;
    cl_int e = 0, st = 0;
    if (!dir) return NULL;
    snprintf(path, sizeof path, "%s/%016lx.bin", dir, (unsigned long)hash(src));
    FILE *f = fopen(path, "r");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    size_t n = ftell(f);
    rewind(f);
    unsigned char *b = malloc(n + 1);
    if (fread(b, 1, n, f) == n && !real.clGetContextInfo(c, CL_CONTEXT_DEVICES, sizeof d, &d, NULL))
        p = real.clCreateProgramWithBinary(c, 1, &d, &n, (const unsigned char **)&b, &st, &e);
    fclose(f);
    free(b);
    return e ? NULL : p;
}

static cl_int CL_API_CALL f_clBuildProgram(cl_program p, cl_uint n, const cl_device_id *d, const char *o,
        void(CL_CALLBACK *cb)(cl_program, void *), void *u) {
    struct timespec a, b;
    char names[4096] = "";
    size_t sn = 0;
    uint64_t h = 0;
    {   /* which kernels these are */
        real.clGetProgramInfo(p, CL_PROGRAM_SOURCE, 0, NULL, &sn);
        char *src = calloc(1, sn + 1), *t = src;
        real.clGetProgramInfo(p, CL_PROGRAM_SOURCE, sn, src, NULL);
        h = hash(src);
        while ((t = strstr(t, "// Kernel name: "))) {
            t += 16;
            size_t m = strcspn(t, " \r\n");
            if (strlen(names) + m + 2 < sizeof names) { strncat(names, t, m); strcat(names, " "); }
        }
        free(src);
    }
    if (wished("FAKEGPU_BUILD")) return CL_BUILD_PROGRAM_FAILURE;
    char *c = clean_options(o, unoptimized(names));
    clock_gettime(CLOCK_MONOTONIC, &a);
    cl_int e = real.clBuildProgram(p, n, d, c, cb, u);
    if (!e && sn > 1) cache_store(p, h);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double s = (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9;
    logm("build rc=%d %.2fs options=%s kernels=%s\n", e, s, o ? o : "(null)", names);
    if (e) {
        static int seq;
        cl_device_id dev = NULL;
        if (n && d) dev = d[0]; else real.clGetProgramInfo(p, CL_PROGRAM_DEVICES, sizeof dev, &dev, NULL);
        size_t ln = 0;
        int k = __sync_add_and_fetch(&seq, 1);
        real.clGetProgramBuildInfo(p, dev, CL_PROGRAM_BUILD_LOG, 0, NULL, &ln);
        char *l = calloc(1, ln + 1);
        real.clGetProgramBuildInfo(p, dev, CL_PROGRAM_BUILD_LOG, ln, l, NULL);
        logm("--- log %d.%d\n%.20000s\n---\n", (int)getpid(), k, l);
        free(l);
    }
    free(c);
    return e;
}

static cl_int CL_API_CALL f_clGetKernelInfo(cl_kernel k, cl_kernel_info p, size_t size, void *out, size_t *ret) {
    cl_int e = real.clGetKernelInfo(k, p, size, out, ret);
    if (e) logm("clGetKernelInfo %p 0x%x size %zu rc=%d\n", (void *)k, p, size, e);
    return e;
}

/*
 * The CPU runtime makes sub-groups only along dimension 0, a GPU along the linear local id: the plugin launches many
 * kernels with a local size of (1,1,16) and sub-groups of 16. So every launch is made one-dimensional inside the work
 * group (local lx*ly*lz,1,1), the true sizes travel in the global offset (which the plugin does not use), and the
 * sources get the work-item functions redefined to compute the true ids. Where a kernel has a reqd_work_group_size its
 * sizes are constants, so that the compiler sees uniform values.
 */
static const char *PRELUDE =
    "#define FG_F static inline __attribute__((always_inline)) size_t\n"
    "FG_F fg_l(void) { return get_local_id(0); }\n"
    "FG_F fg_o(uint d) { return get_global_offset(d); }\n"
    "FG_F fg_g(uint d) { return get_group_id(d); }\n"
    "FG_F fg_n(uint d) { return get_num_groups(d); }\n"
    "#define FG_LX fg_o(0)\n#define FG_LY fg_o(1)\n#define FG_LZ fg_o(2)\n"
    "#define get_local_size(d) ((size_t)((d)==0?(FG_LX):(d)==1?(FG_LY):(d)==2?(FG_LZ):1))\n"
    "#define get_enqueued_local_size(d) get_local_size(d)\n"
    "#define get_local_id(d) ((size_t)((d)==0?((FG_LY)*(FG_LZ)==1?fg_l():fg_l()%(FG_LX)):(d)==1?((FG_LZ)==1?fg_l()/(FG_LX):(fg_l()/(FG_LX))%(FG_LY)):(d)==2?fg_l()/((FG_LX)*(FG_LY)):0))\n"
    "#define get_global_id(d) ((size_t)(fg_g(d)*get_local_size(d)+get_local_id(d)))\n"
    "#define get_global_size(d) ((size_t)(fg_n(d)*get_local_size(d)))\n"
    "#define get_global_offset(d) ((size_t)0)\n"
    "#define get_local_linear_id() fg_l()\n"
    "#define get_global_linear_id() ((get_global_id(2)*get_global_size(1)+get_global_id(1))*get_global_size(0)+get_global_id(0))\n"
    "#define reqd_work_group_size(x,y,z) reqd_work_group_size((x)*(y)*(z),1,1)\n"
    "#define work_group_size_hint(x,y,z) work_group_size_hint((x)*(y)*(z),1,1)\n"
    "#line 1\n";
static const char *RESET = "\n#undef FG_LX\n#undef FG_LY\n#undef FG_LZ\n#define FG_LX fg_o(0)\n#define FG_LY fg_o(1)\n#define FG_LZ fg_o(2)\n";

static void add(char **o, size_t *n, size_t *cap, const char *t, size_t m) {
    if (*n + m + 1 > *cap) *o = realloc(*o, *cap = (*n + m + 1) * 2);
    memcpy(*o + *n, t, m);
    *n += m;
    (*o)[*n] = 0;
}

static int kernel_sizes(const char *line, size_t m, char out[3][256]) {   /* the three arguments of reqd_work_group_size on this line */
    static const char *A = "reqd_work_group_size";
    const char *e = line + m, *q = memmem(line, m, A, strlen(A));
    if (!q) return 0;
    q += strlen(A);
    while (q < e && (*q == ' ' || *q == '(')) if (*q++ == '(') break;
    for (int i = 0, depth = 0; i < 3; i++, depth = 0) {
        size_t k = 0;
        for (; q < e && k < 255; q++) {
            if (*q == '(') depth++;
            if ((*q == ',' && !depth) || (*q == ')' && depth-- == 0)) break;
            out[i][k++] = *q;
        }
        out[i][k] = 0;
        if (!k || q >= e || (i < 2 && *q != ',')) return 0;
        q++;
    }
    return 1;
}

static char *rewrite(const char *s) {
    size_t n = 0, cap = 0;
    char *o = NULL, a[3][256], buf[1200];
    int cont = 0;
    add(&o, &n, &cap, PRELUDE, strlen(PRELUDE));
    while (*s) {
        size_t m = strcspn(s, "\n") + 1;
        if (!s[m - 1]) m--;
        if (!strncmp(s, "// Kernel template:", 19)) add(&o, &n, &cap, RESET, strlen(RESET));
        if (!cont && *s != '#' && kernel_sizes(s, m, a)) {
            int k = snprintf(buf, sizeof buf, "\n#undef FG_LX\n#undef FG_LY\n#undef FG_LZ\n#define FG_LX (%s)\n#define FG_LY (%s)\n#define FG_LZ (%s)\n", a[0], a[1], a[2]);
            add(&o, &n, &cap, buf, k);
        }
        cont = m > 1 && s[m - 2] == '\\';
        add(&o, &n, &cap, s, m);
        s += m;
    }
    return o;
}

static cl_program CL_API_CALL f_clCreateProgramWithSource(cl_context c, cl_uint n, const char **ss, const size_t *ls, cl_int *e) {
    size_t k = 0, cap = 0;
    char *o = NULL;
    if (!n || !ss) return real.clCreateProgramWithSource(c, n, ss, ls, e);
    for (cl_uint i = 0; i < n; i++) add(&o, &k, &cap, ss[i], ls && ls[i] ? strnlen(ss[i], ls[i]) : strlen(ss[i]));
    char *r = rewrite(o);
    cl_program p = cache_load(c, r);
    if (p) { if (e) *e = CL_SUCCESS; }
    else p = real.clCreateProgramWithSource(c, 1, (const char **)&r, NULL, e);
    free(r); free(o);
    return p;
}

static cl_int CL_API_CALL f_clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *off, const size_t *g, const size_t *l,
        cl_uint nw, const cl_event *w, cl_event *ev) {
    while (wished("FAKEGPU_HANG")) usleep(10000);
    if (wished("FAKEGPU_FAIL")) return CL_OUT_OF_RESOURCES;
    size_t G[3] = {1, 1, 1}, L[3] = {1, 1, 1}, g2[3], l2[3], o2[3];
    if (!g) return real.clEnqueueNDRangeKernel(q, k, dims, off, g, l, nw, w, ev);
    for (cl_uint i = 0; i < dims && i < 3; i++) {
        G[i] = g[i];
        if (off && off[i]) logm("enqueue: an offset %zu in dim %u is dropped\n", off[i], i);
        if (l) L[i] = l[i];
        else if (i == 0) { while (L[0] < 64 && G[0] % (L[0] * 2) == 0) L[0] *= 2; }
    }
    for (int i = 0; i < 3; i++) {
        if (!L[i] || G[i] % L[i]) { logm("enqueue: global %zu,%zu,%zu local %zu,%zu,%zu is not uniform\n", G[0], G[1], G[2], L[0], L[1], L[2]); return CL_INVALID_WORK_GROUP_SIZE; }
        o2[i] = L[i];
        g2[i] = G[i] / L[i];
        l2[i] = 1;
    }
    l2[0] = L[0] * L[1] * L[2];
    if (l2[0] > WORK_GROUP) logm("enqueue: work group of %zu\n", l2[0]);
    g2[0] *= l2[0];
    cl_int e = real.clEnqueueNDRangeKernel(q, k, 3, o2, g2, l2, nw, w, ev);
    if (e) logm("enqueue rc=%d global %zu,%zu,%zu local %zu,%zu,%zu\n", e, G[0], G[1], G[2], L[0], L[1], L[2]);
    return e;
}

/* Two out-of-order queues of this runtime can wait for each other for ever (its TBB arena); in order they do not. */
static cl_command_queue CL_API_CALL f_clCreateCommandQueueWithProperties(cl_context c, cl_device_id d, const cl_queue_properties *p, cl_int *e) {
    cl_queue_properties q[32];
    int i = 0;
    for (; p && p[i] && i < 28; i += 2) {
        q[i] = p[i];
        q[i + 1] = p[i + 1];
        if (p[i] == CL_QUEUE_PROPERTIES) q[i + 1] &= ~(cl_queue_properties)CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE;
    }
    q[i] = 0;
    return real.clCreateCommandQueueWithProperties(c, d, p ? q : NULL, e);
}

/* In this runtime a kernel does not keep its program's handle valid once the user releases it, while NEO's does,
 * and the plugin clones kernels through clGetKernelInfo(CL_KERNEL_PROGRAM) long after. So every kernel holds one
 * reference of its program here. */
static cl_kernel CL_API_CALL f_clCreateKernel(cl_program p, const char *name, cl_int *e) {
    cl_int x = 0;
    cl_kernel k = real.clCreateKernel(p, name, &x);
    if (k) real.clRetainProgram(p); else logm("clCreateKernel %s rc=%d\n", name, x);
    if (e) *e = x;
    return k;
}

static cl_int CL_API_CALL f_clCreateKernelsInProgram(cl_program p, cl_uint n, cl_kernel *ks, cl_uint *ret) {
    cl_uint m = 0;
    cl_int e = real.clCreateKernelsInProgram(p, n, ks, &m);
    if (!e && ks) for (cl_uint i = 0; i < m && i < n; i++) real.clRetainProgram(p);
    if (e) logm("clCreateKernelsInProgram rc=%d\n", e);
    if (ret) *ret = m;
    return e;
}

static cl_int CL_API_CALL f_clReleaseKernel(cl_kernel k) {
    static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    cl_program p = NULL;
    cl_uint n = 0;
    pthread_mutex_lock(&m);
    if (!real.clGetKernelInfo(k, CL_KERNEL_REFERENCE_COUNT, sizeof n, &n, NULL) && n == 1)
        real.clGetKernelInfo(k, CL_KERNEL_PROGRAM, sizeof p, &p, NULL);
    cl_int e = real.clReleaseKernel(k);
    if (!e && p) real.clReleaseProgram(p);
    pthread_mutex_unlock(&m);
    return e;
}

static void patch(struct _cl_icd_dispatch *t) {
    long pg = sysconf(_SC_PAGESIZE);
    uintptr_t lo = (uintptr_t)t & ~(pg - 1), hi = ((uintptr_t)(t + 1) + pg - 1) & ~(pg - 1);
    if (t->clGetDeviceInfo == f_clGetDeviceInfo) return;
    real = *t;
    mprotect((void *)lo, hi - lo, PROT_READ | PROT_WRITE);
    t->clGetDeviceInfo = f_clGetDeviceInfo;
    t->clGetDeviceIDs = f_clGetDeviceIDs;
    t->clCreateContextFromType = f_clCreateContextFromType;
    t->clBuildProgram = f_clBuildProgram;
    t->clCreateCommandQueueWithProperties = f_clCreateCommandQueueWithProperties;
    t->clCreateProgramWithSource = f_clCreateProgramWithSource;
    t->clEnqueueNDRangeKernel = f_clEnqueueNDRangeKernel;
    t->clCreateKernel = f_clCreateKernel;
    t->clCreateKernelsInProgram = f_clCreateKernelsInProgram;
    t->clReleaseKernel = f_clReleaseKernel;
    t->clGetKernelInfo = f_clGetKernelInfo;
}

typedef void *(CL_API_CALL *gefa_t)(const char *);
static gefa_t r_gefa;
static clIcdGetPlatformIDsKHR_fn r_ids;

static void init(void) {
    const char *lg = getenv("FAKEGPU_LOG");
    if (lg) logf_ = strcmp(lg, "-") ? fopen(lg, "a") : stderr;
    lib = dlopen(RUNTIME, RTLD_NOW | RTLD_LOCAL);
    if (!lib) { fprintf(stderr, "fakegpu: %s\n", dlerror()); return; }
    r_gefa = (gefa_t)dlsym(lib, "clGetExtensionFunctionAddress");
    r_ids = (clIcdGetPlatformIDsKHR_fn)(r_gefa ? r_gefa("clIcdGetPlatformIDsKHR") : NULL);
    if (!r_ids) r_ids = (clIcdGetPlatformIDsKHR_fn)dlsym(lib, "clIcdGetPlatformIDsKHR");
    if (!r_ids) fprintf(stderr, "fakegpu: no clIcdGetPlatformIDsKHR\n");
}

CL_API_ENTRY cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint n, cl_platform_id *ids, cl_uint *ret) {
    pthread_once(&once, init);
    if (!r_ids) return CL_PLATFORM_NOT_FOUND_KHR;
    cl_platform_id tmp[16];
    cl_uint m = 0;
    cl_int e = r_ids(16, tmp, &m);
    if (e) return e;
    for (cl_uint i = 0; i < m && i < 16; i++) patch(*(struct _cl_icd_dispatch **)tmp[i]);
    for (cl_uint i = 0; ids && i < n && i < m; i++) ids[i] = tmp[i];
    if (ret) *ret = m;
    return CL_SUCCESS;
}

CL_API_ENTRY void *CL_API_CALL clGetExtensionFunctionAddress(const char *name) {
    pthread_once(&once, init);
    if (!strcmp(name, "clIcdGetPlatformIDsKHR")) return (void *)clIcdGetPlatformIDsKHR;
    return r_gefa ? r_gefa(name) : NULL;
}

CL_API_ENTRY cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id p, cl_platform_info i, size_t s, void *o, size_t *r) {
    pthread_once(&once, init);
    return real.clGetPlatformInfo ? real.clGetPlatformInfo(p, i, s, o, r) : CL_INVALID_PLATFORM;
}
