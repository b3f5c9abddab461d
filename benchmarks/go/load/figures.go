package main

import (
	"slices"
	"sync"
	"syscall"
	"time"
)

// samples collects durations from many goroutines, each into a share of its own.
type samples struct {
	lock   sync.Mutex
	values []int64
}

func (s *samples) add(values ...int64) {
	s.lock.Lock()
	s.values = append(s.values, values...)
	s.lock.Unlock()
}

// quantiles in milliseconds.
func (s *samples) quantiles() map[string]float64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	if len(s.values) == 0 {
		return nil
	}
	slices.Sort(s.values)
	at := func(part float64) float64 {
		return float64(s.values[int(part*float64(len(s.values)-1))]) / 1e6
	}
	return map[string]float64{
		"count": float64(len(s.values)),
		"p50":   at(0.50), "p90": at(0.90), "p99": at(0.99), "max": at(1),
	}
}

// sorted in milliseconds, the shortest first.
func (s *samples) sorted() []float64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	slices.Sort(s.values)
	found := make([]float64, len(s.values))
	for at, value := range s.values {
		found[at] = float64(value) / 1e6
	}
	return found
}

// ownCPU is this process's, in seconds: a generator that is busy all the time measures itself.
func ownCPU() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func seconds(value syscall.Timeval) float64 {
	return (time.Duration(value.Sec)*time.Second + time.Duration(value.Usec)*time.Microsecond).Seconds()
}
