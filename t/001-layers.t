#!/usr/bin/perl
# t/001-layers.t - an include points to the same folder or a lower layer, roles never include each other, milters link no fibers.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die;

sub layer {
    my ($folder) = @_;
    return 0 if $folder eq 'lib/base';
    return 1 if $folder =~ m{^lib/(net|mail|conf)$};
    return 2 if $folder =~ m{^lib/};
    return $folder eq 'milters/common' ? 3 : 4;
}

# What internal protocols say is messages as the queue keeps them.
my %allowed = map { $_ => 1 } 'lib/proto -> lib/queue';

my (@wrong, @up);
find({ no_chdir => 1, wanted => sub {
    return unless /\.[ch]$/;
    my $file = $_;
    open my $f, '<', $file or die "$file: $!";
    while (my $line = <$f>) {
        my ($to) = $line =~ /^#include "([^"]+)"/ or next;
        my ($mine, $its) = (dirname($file), dirname($to));
        push @wrong, "$file:$.: $to is not a path from the top" unless -e $to;
        next if $mine eq $its || layer($its) < layer($mine) || $allowed{"$mine -> $its"};
        push @up, "$file:$.: $to";
    }
} }, qw(lib mta policyd milters));
is_deeply \@wrong, [], 'include paths start at the top of the tree';
is_deeply \@up, [], 'includes point down';

SKIP: {
    my $dkim = ($ENV{GATEPOST_BUILD} || "$top/build") . '/libexec/gatepost/dkim';
    skip 'no built milter or no nm', 1 unless -x $dkim && `nm --version 2>/dev/null`;
    is_deeply [ grep { / fiber_| stream_| loop_/ } `nm $dkim` ], [], 'the milter has no fiber in it';
}
done_testing;
