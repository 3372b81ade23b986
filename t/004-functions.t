#!/usr/bin/perl
# t/004-functions.t - functions stay short: median at most 15 lines, 95 of 100 at most 60, none over 120.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die;
plan skip_all => 'no universal-ctags' unless `ctags --version 2>/dev/null` =~ /Universal/;
my @sources;
find({ no_chdir => 1, wanted => sub { push @sources, $_ if /\.c$/ } }, qw(lib mta policyd milters));
open my $tags, '-|', 'ctags', '--languages=C', '--kinds-C=f', '--fields=+ne', '-o', '-', @sources or die "ctags: $!";
my %lines;
while (<$tags>) {
    my ($name, $file) = split /\t/;
    my ($from, $to) = (/\tline:(\d+)/, /\tend:(\d+)/);
    $lines{"$file:$name"} = $to - $from + 1 if defined $to;
}
my @sorted = sort { $a <=> $b } values %lines;
cmp_ok $sorted[ $#sorted / 2 ], '<=', 15, 'median';
cmp_ok $sorted[ $#sorted * 0.95 ], '<=', 60, '95 of 100';
is_deeply [ grep { $lines{$_} > 120 } sort keys %lines ], [], 'no giant';
done_testing;
