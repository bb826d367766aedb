#include "core/config_older.h"

#include <stdbool.h>
#include <string.h>

static const struct {
    const char *name, *meaning; /* a name that ends in '*' stands for all that begin so */
} variables[] = {
    {"MKL_NUM_THREADS", "no MKL here; OMP_NUM_THREADS (or FRT_THREADS) limits the cores of one inference"},
    {"OPENBLAS_NUM_THREADS",
     "no OpenBLAS here; OMP_NUM_THREADS (or FRT_THREADS) limits the cores of one inference"},
    {"TF_NUM_INTRAOP_THREADS",
     "no TensorFlow here; OMP_NUM_THREADS (or FRT_THREADS) limits the cores of one inference"},
    {"TF_NUM_INTEROP_THREADS",
     "no TensorFlow here; DETECTION_WORKERS and RECOGNITION_WORKERS say how many inferences run at once"},
    {"TF_FORCE_GPU_ALLOW_GROWTH",
     "a device's memory always grows by what is needed, up to FRT_GPU_MEMORY_LIMIT"},
    {"TF_GPU_ALLOCATOR", "a device's memory always grows by what is needed, up to FRT_GPU_MEMORY_LIMIT"},
    {"TF_GPU_THREAD_MODE",
     "work for a device is queued by the thread of its request; there are no threads to be set apart"},
    {"TF_GPU_THREAD_COUNT",
     "DETECTION_WORKERS and RECOGNITION_WORKERS say how much is queued for a device at once"},
    {"TF_CPP_MIN_LOG_LEVEL", "no TensorFlow here; FRT_LOG_LEVEL sets the log level"},
    {"TF_ENABLE_ONEDNN_OPTS", "no TensorFlow here; fast kernels are chosen by what the processor can"},
    {"TF_XLA_FLAGS", "no TensorFlow here; graphs are optimised when they are loaded"},
    {"TF_*", "no TensorFlow here; it changes nothing"},
};

void frt_config_older_explain(char **environ_list,
                              void (*say)(void *arg, const char *name, const char *meaning), void *arg)
{
    char name[64];
    for (char **entry = environ_list; entry != NULL && *entry != NULL; entry++) {
        size_t size = strcspn(*entry, "=");
        if (size >= sizeof name || (*entry)[size] == '\0')
            continue;
        memcpy(name, *entry, size);
        name[size] = '\0';
        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
            size_t known = strlen(variables[i].name);
            bool begins =
                variables[i].name[known - 1] == '*' && strncmp(name, variables[i].name, known - 1) == 0;
            if (begins || strcmp(name, variables[i].name) == 0) {
                say(arg, name, variables[i].meaning);
                break;
            }
        }
    }
}
